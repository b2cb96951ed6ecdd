"""`python -m fpa ...` of the workflows in tests: torch and other libraries are imported once, each
call is a fork of the process that has them loaded.

Most of a short job's time is that import. A `python` that jobs take for the interpreter (warm.py) passes
the call on, with its files, and ends as the fork does; signals go on to the fork, which dies with it.
Nothing of this repository is imported before a call: where it is found is part of the tests.
"""

import atexit
import functools
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from warm import enter, finish, load

LOADED = (
    *("torch", "torch.nn.functional", "torchvision.transforms", "numpy", "pandas", "PIL.Image"),
    *("scipy.linalg", "scipy.spatial", "safetensors.torch", "yaml", "pydantic"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf"),
    *("torch_fidelity.metrics", "cleanfid.fid", "sklearn.datasets", "seaborn"),
)
SOCKET = "FPA_TESTS_WARM_PYTHON"
SHARED = "FPA_TESTS_SHARED_PYTHON"
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
place = os.environ.get({variable!r})
one = socket.socket(socket.AF_UNIX)
try:
    if sys.argv[1:3] != ["-m", "fpa"] or not place:
        raise OSError
    one.connect(place)
    call = json.dumps({{"words": sys.argv[3:], "cwd": os.getcwd(), "env": dict(os.environ)}})
    socket.send_fds(one, [b"%10d" % len(call.encode())], [0, 1, 2])
    one.sendall(call.encode())
    answers = one.makefile()
    number = int(answers.readline())
except (OSError, ValueError):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
for name in {signals!r}:
    signal.signal(name, lambda given, frame: os.kill(number, given))
code = int(answers.readline() or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@functools.cache
def warm_python() -> dict[str, str]:
    """Environment variables with which `python -m fpa` is a fork of the process that `share` or this has started."""
    folder = Path(os.environ.get(SHARED) or start())
    return {SOCKET: str(folder / "calls"), "FPA_TESTS_PYTHON": str(folder / "bin" / "python")}


def share() -> None:
    """Have all processes that this one starts use one server."""
    os.environ[SHARED] = start()


def start() -> str:
    """Start a server, which ends with this process; the folder of its socket and of its client."""
    folder = tempfile.TemporaryDirectory()
    place = Path(folder.name) / "calls"
    client = Path(folder.name) / "bin" / "python"
    client.parent.mkdir()
    client.write_text(
        CLIENT.format(python=sys.executable, variable=SOCKET, signals=[int(s) for s in PASSED_ON])
    )
    client.chmod(0o755)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    process = subprocess.Popen(
        [sys.executable, __file__, place], env=environment, start_new_session=True
    )
    atexit.register(folder.cleanup)
    atexit.register(process.terminate)
    return folder.name


def serve(place: str) -> None:
    """Answer calls until the process that started this one is gone; the first call makes it load everything."""
    parent = os.getppid()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(place)
    listening.listen(64)
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    callers: dict[int, socket.socket] = {}
    while os.getppid() == parent:
        for key, _ in waiting.select(0.02 if callers else 1):
            if key.fileobj is listening:
                load(LOADED)
                one, _ = listening.accept()
                try:
                    number = fork(one, [listening, *callers.values()])
                except (OSError, ValueError):
                    one.close()  # killed before it had called
                    continue
                callers[number] = one
                waiting.register(one, selectors.EVENT_READ, number)
                with suppress(OSError):  # killed since: it is noticed below
                    one.sendall(f"{number}\n".encode())
            elif gone(key.fileobj):
                waiting.unregister(key.fileobj)
                with suppress(ProcessLookupError):
                    os.kill(key.data, signal.SIGKILL)
        while callers:
            number, status = os.waitpid(-1, os.WNOHANG)
            if number == 0:
                break
            one = callers.pop(number)
            with suppress(KeyError):
                waiting.unregister(one)
            with suppress(OSError):
                one.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            one.close()


def gone(one: socket.socket) -> bool:
    """Whether a caller, which says nothing more, was killed."""
    try:
        return not one.recv(1)
    except OSError:
        return True


def fork(one: socket.socket, others: list[socket.socket]) -> int:
    """Start what a caller asks for, in a process whose number is returned."""
    length, files, _, _ = socket.recv_fds(one, 10, 3)
    call = json.loads(one.recv(int(length), socket.MSG_WAITALL))
    if number := os.fork():
        for file in files:
            os.close(file)
        return number
    for other in (one, *others):
        other.close()
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    enter(call["cwd"], call["env"])
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count()))
    sys.argv = ["fpa", *call["words"]]
    return finish(lambda: runpy.run_module("fpa", run_name="__main__", alter_sys=True))


if __name__ == "__main__":
    serve(sys.argv[1])
