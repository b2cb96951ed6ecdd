"""Snakemake in tests: imported once, each call is a fork of the process that has it loaded.

A Snakemake of its own takes most of its time to import itself and the libraries that planning
needs. Nothing of this repository is imported before a call: where it is found is part of the tests.
"""

import atexit
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

LOADED = (
    *("snakemake.cli", "snakemake.workflow", "snakemake.executors.dryrun"),
    *("snakemake.executors.local", "numpy", "pydantic"),
)


class Warm:
    """The process that has Snakemake loaded."""

    def __init__(self) -> None:
        self.start()
        atexit.register(self.close)

    def start(self) -> None:
        """Load it, without waiting for that."""
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def close(self) -> None:
        """End the process, and a call that was interrupted with all its jobs."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __call__(
        self,
        words: list[str],
        cwd: Path,
        env: dict[str, str],
        timeout: float,
        pid_file: Path | None = None,
    ) -> subprocess.CompletedProcess:
        """What `python -m snakemake WORDS` does in a folder and an environment.

        pid_file: where to write its process's number.
        """
        if self.process.poll() is not None:
            self.start()
        with tempfile.TemporaryDirectory() as folder:
            said = {name: f"{folder}/{name}" for name in ("stdout", "stderr")}
            call = {"words": words, "cwd": str(cwd), "env": env, **said}
            call["pid_file"] = str(pid_file) if pid_file else None
            print(json.dumps(call), file=self.process.stdin, flush=True)
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                self.close()
                self.start()
                raise subprocess.TimeoutExpired(words, timeout)
            code = int(self.process.stdout.readline())
            texts = (Path(path).read_text() for path in said.values())
            return subprocess.CompletedProcess(words, code, *texts)


def serve() -> None:
    """Answer calls, one JSON object a line, by their exit codes, until nobody asks any more."""
    load(LOADED)
    for line in sys.stdin:
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        become(**json.loads(line))
        finish(sys.modules["snakemake.cli"].main)


def load(names: tuple[str, ...]) -> None:
    """Import modules for all forks, which need not look through them for garbage."""
    for name in names:
        importlib.import_module(name)
    gc.freeze()


def finish(run: Callable[[], object]) -> NoReturn:
    """The rest of a fork's life, up to its exit code, as Python's own.

    Modules are not taken down: that would touch, and so copy, all that it shares with others.
    """
    code = 1
    try:
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def become(
    words: list[str],
    cwd: str,
    env: dict[str, str],
    stdout: str,
    stderr: str,
    pid_file: str | None,
) -> None:
    """Make this process one that was started as `python -m snakemake WORDS`."""
    if pid_file:
        Path(pid_file).write_text(str(os.getpid()))
    enter(cwd, env)
    if client := env.get("FPA_TESTS_PYTHON"):
        # The workflow lets its jobs run this interpreter, whatever comes first on the PATH.
        sys.executable = client
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for place, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), place)
    sys.argv = ["snakemake", *words]


def enter(cwd: str, env: dict[str, str]) -> None:
    """Take over the folder and the environment of a caller of `python -m`."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    # Where `python -m` looks for modules first.
    sys.path[0:1] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]


if __name__ == "__main__":
    serve()
