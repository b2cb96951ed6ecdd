"""What the workflow needs of Snakemake that Snakemake does not document: all of it, and why.

Everything else uses the language of Snakefiles and the command line. This file is the one to look at
when a new Snakemake breaks the workflow; `tests/unit/test_layout.py` holds the versions that
it was tried with, which pyproject.toml asks for.
"""

import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

VERSIONS = ">=9.17,<10"
"""Of Snakemake."""
EVERY_CORE = 10_000
"""Threads of a job that is to be alone: Snakemake lowers them to --cores. `workflow.cores` says the same in
the documentation, but without --cores it ends --unlock, --report, --summary and others (snakemake#3691)."""

ERROR = re.compile(r"\S+ \S+ error: ")
"""How the last message of a job begins that a mistake or a full disk has ended (fpa.cli)."""
TAIL = 4096
"""Bytes at the end of a log that its last messages are looked for in."""


class Call:
    """What a call of Snakemake was asked for, while the Snakefile is read.

    There is no documented way to tell the process that a user has started from those that Snakemake
    starts for jobs, nor to see --cache, --resources or a cluster.
    """

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self.is_main_process: bool = workflow.is_main_process
        self.brings_configuration = bool(workflow.overwrite_configfiles)
        """Whether the command line names configuration files."""
        self.shares_work = workflow.workflow_settings.cache is not None
        """Whether results are shared with other workflows (--cache)."""
        self.is_on_a_cluster = workflow.resource_settings.nodes is not None
        """Whether jobs have cores and GPUs to themselves."""
        self.words = sys.argv
        """Files that are asked for among them: Snakemake has its own settings of targets only later."""

    @property
    def configfiles(self) -> list[str]:
        return self._workflow.configfiles

    def make_by_default(self, rule: str) -> None:
        """The rule that is made where no target is named: an included file's first rule is not."""
        self._workflow.default_target = self._workflow.default_target or rule

    @property
    def limits_gpus(self) -> bool:
        """Whether somebody has said how many GPUs there are (--resources gpu=...)."""
        return "gpu" in self._workflow.global_resources

    @property
    def gpus(self) -> int | None:
        """Those of this machine; None where nobody has said."""
        if self.is_on_a_cluster or not self.limits_gpus:
            return None
        return self._workflow.global_resources["gpu"].value

    def set_gpus(self, count: int) -> None:
        """Let jobs that run at the same time use so many, where nothing else is said."""
        self._workflow.register_resource("gpu", count)

    def threads_of_all(self, otherwise: int) -> int:
        """Threads of a job that is to have this machine to itself; `otherwise` where it has its own."""
        return EVERY_CORE if self.is_main_process and not self.is_on_a_cluster else otherwise


def ancient(path: str) -> str:
    """A file whose age does not matter: what was made from it stays good.

    Snakefiles have this function; here it is imported. Only for what is made by a job whose own inputs
    are of this kind. Where such a job runs for another reason than a missing output, Snakemake does not
    look at what depends on it, not even for missing files; `check_made` says so.
    """
    from snakemake.io import ancient as flag

    return flag(path)


def check_made(dag: Any) -> None:
    """End the program with a line if a file that was asked for is not there, though no job failed."""
    if dag.omitrules or dag.omitfiles:
        return
    # A rule that was asked for by name may make nothing itself. What else a job has read may be temporary.
    asked = {str(file) for job in dag.targetjobs for file in (job.output or job.input)}
    if missing := sorted(path for path in asked if not Path(path).exists()):
        sys.exit(
            f"{len(missing)} of {len(asked)} files are not made yet ({missing[0]}, ...), because "
            "something that they need was made again: call snakemake again"
        )


def skip_retries_on_user_error() -> None:
    """Let `--retries` leave out jobs that said what is wrong: they would say it again.

    What is left are jobs that were killed, as by a node's failure or for their memory. A rule with
    `retries` of its own, as for downloads, keeps them. Snakemake knows one number for each rule
    (snakemake#2441 asks for a choice by the job's log), so the number is replaced where it is asked for.
    """
    from snakemake.jobs import GroupJob, Job

    started = time.time()

    def of_job(job: Any) -> int:
        own = job.rule._restart_times is not None
        said = not own and says_what_is_wrong(map(Path, job.log), started)
        return 0 if said else job.rule.restart_times

    def of_group(group: Any) -> int:
        return min(of_job(job) for job in group.jobs)

    Job.restart_times = property(of_job)
    GroupJob.restart_times = property(of_group)


def says_what_is_wrong(logs: Iterable[Path], since: float) -> bool:
    """Whether the last message in one of the logs is an error, written after `since` (Unix time)."""
    for log in logs:
        try:
            if log.stat().st_mtime < since:
                continue
            with open(log, "rb") as file:
                file.seek(max(0, log.stat().st_size - TAIL))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            continue
        stamped = [line for line in lines if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line)]
        if stamped and ERROR.match(stamped[-1]):
            return True
    return False
