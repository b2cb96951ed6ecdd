"""A real Slurm of one node on the loopback interface, from Debian's packages, for the time of a test."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PATIENCE = 600
"""Seconds after which one of Slurm's programs counts as hanging."""
MARK = "FPA_TESTS_SLURM"
"""Environment variable with the folder, of all daemons and jobs: jobs inherit what they are handed in with."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
DAEMONS = ("slurmctld", "slurmd", "munged")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

CONF = """\
ClusterName=local
SlurmctldHost={node}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
MinJobAge=3600
KillWait=10
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs=16 RealMemory=100000 Gres=gpu:a100:2 State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=5000 State=UP
PartitionName=urgent Nodes={node} PriorityTier=10 MaxTime=5000 State=UP
PartitionName=cpu Nodes={node} MaxTime=5000 State=DOWN
PartitionName=gpu Nodes={node} MaxTime=5000 State=DOWN
"""


ACCOUNT = "my_account"
"""What Slurm knows as the user's account."""


class Unavailable(Exception):
    """Slurm cannot be started here; says why."""


class OneNode:
    """Slurm's three daemons, and what they know of the jobs that they ran.

    The memory and CPUs of the node are only claimed, and its GPUs are files. A job that takes more
    memory than it asked for is killed within a second or two. `urgent` is a partition whose jobs
    preempt those of the others, `cpu` and `gpu` take jobs and never start them. A job that is queued
    again starts at once, not after the usual two minutes.
    """

    def __init__(self, folder: Path) -> None:
        missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
        if missing:
            raise Unavailable(
                f"not installed: {', '.join(missing)} (Debian: munge slurmctld slurmd)"
            )
        self.folder = folder
        self._leaving = threading.Event()
        # The job step drops every SLURM_* variable before its own srun.
        wrapper = folder / "bin/srun"
        wrapper.parent.mkdir(parents=True)
        srun = shutil.which("srun", path=PATH)
        wrapper.write_text(f'#!/bin/sh\nexport SLURM_CONF={folder}/slurm.conf\nexec {srun} "$@"\n')
        wrapper.chmod(0o755)
        # Accounts are in a database, which is not here; a job's account is recorded without it.
        accounts = folder / "bin/sacctmgr"
        accounts.write_text(f"#!/bin/sh\necho {ACCOUNT}\n")
        accounts.chmod(0o755)
        self.environment = {
            "PATH": f"{wrapper.parent}:{PATH}",
            "SLURM_CONF": str(folder / "slurm.conf"),
            MARK: str(folder),
        }

    def __enter__(self) -> "OneNode":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        folder = self.folder
        node = subprocess.run(["hostname", "-s"], capture_output=True, text=True).stdout.strip()
        user = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
        ports = {"ctld_port": _free_port(), "d_port": _free_port()}
        (folder / "slurm.conf").write_text(
            CONF.format(node=node, user=user, folder=folder, **ports)
        )
        for number in range(2):
            (folder / f"gpu{number}").touch()
        (folder / "gres.conf").write_text(f"Name=gpu Type=a100 File={folder}/gpu[0-1]\n")
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        files = {"key": "key", "pid": "pid", "log": "log", "seed": "seed"}
        self._run(
            "munged",
            "--force",
            f"--socket={folder}/munge.socket",
            *(f"--{option}-file={folder}/munge.{end}" for option, end in files.items()),
        )
        self._run("slurmctld", "-c")
        self._run("slurmd")
        deadline = time.monotonic() + PATIENCE
        while self._told("sinfo", "-h", "-o", "%T") != "idle":
            if time.monotonic() > deadline:
                raise Unavailable(f"the node does not come up: {self._told('sinfo', '-R')}")
            time.sleep(0.2)
        threading.Thread(target=self._start_again_at_once, daemon=True).start()

    def _start_again_at_once(self) -> None:
        """A job that is queued again could start in the same second; Slurm waits for two minutes.

        A time limit that was shortened while it ran is an hour again.
        """
        while not self._leaving.wait(0.5):
            for line in self._told("squeue", "-h", "-t", "PENDING", "-o", "%i %r").splitlines():
                job, reason = line.split(maxsplit=1)
                if reason == "BeginTime":
                    self._told(
                        "scontrol", "update", f"JobId={job}", "StartTime=now", "TimeLimit=60"
                    )

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        # Daemons first: none starts a job again whose processes are gone.
        deadline = time.monotonic() + PATIENCE
        while left := self.processes():
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes of Slurm that cannot be ended: {left}")
            for number in sorted(left, key=lambda number: left[number] not in DAEMONS):
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.1)

    def processes(self) -> dict[int, str]:
        """Numbers and names of all that Slurm and its jobs have running."""
        mark, found = f"{MARK}={self.folder}".encode(), {}
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has just ended, or is another user's
                if mark in (place / "environ").read_bytes().split(b"\0"):
                    found[int(place.name)] = (place / "comm").read_text().strip()
        return found

    def _call(self, *command: str, **options: Any) -> subprocess.CompletedProcess:
        env = {**os.environ, **self.environment}
        return subprocess.run(command, env=env, timeout=PATIENCE, **options)

    def _run(self, *command: str) -> None:
        log = self.folder / f"{command[0]}.out"
        with open(log, "wb") as file:
            done = self._call(*command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        if done.returncode:
            raise Unavailable(f"{command[0]} does not start: {log.read_text().strip()}")

    def _told(self, *command: str) -> str:
        return self._call(*command, capture_output=True, text=True).stdout.strip()

    def jobs(self) -> list[dict[str, str]]:
        """Slurm's own record of every job, in the order they were handed in."""
        lines = self._told("scontrol", "-o", "show", "jobs").splitlines()
        found = [dict(w.split("=", 1) for w in line.split(" ") if "=" in w) for line in lines]
        return sorted((job for job in found if "JobId" in job), key=lambda job: int(job["JobId"]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
