"""Which failed jobs Snakemake may try again."""

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ERROR = re.compile(r"\S+ \S+ error: ")
"""How the last message of a job begins that a mistake or a full disk has ended (fpa.cli)."""
TAIL = 4096
"""Bytes at the end of a log that its last messages are looked for in."""


def only_what_may_end_otherwise() -> None:
    """Let `--retries` leave out jobs that said what is wrong: they would say it again.

    What is left are jobs that were killed, as by a node's failure or for their memory. A rule with
    `retries` of its own, as for downloads, keeps them. Snakemake itself knows one number for each rule.
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
