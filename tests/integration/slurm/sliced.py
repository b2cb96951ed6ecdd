"""A model whose training meets, one after another, all that a cluster may do to it."""

import os
import subprocess
import time

from baselines.dcgan import DCGAN

KILLED, LIMITED, PREEMPTED, SLICES = 0, 1, 2, 8
"""Starts of the training, counted from 0: three that end in such a way, and the first that none ends.
All others are time slices."""


def run(*command: str) -> None:
    subprocess.run(command, check=True)


class Sliced(DCGAN):
    """Outside Slurm, DCGAN. In Slurm, a start before the last one ends by a signal or a kill."""

    data_parallel = True
    starts = 0
    done = 0
    """Steps since the last start."""
    waste = b""

    def step(self, real):
        losses = super().step(real)
        self.done += 1
        if "SLURM_JOB_ID" in os.environ and self.starts < SLICES:
            self._suffer(os.environ["SLURM_JOB_ID"])
        return losses

    def _suffer(self, job: str) -> None:
        if self.starts == KILLED:
            self.waste = os.urandom(1000) * 3_000_000
        elif self.starts == LIMITED and self.done == 1:
            run("scontrol", "update", f"JobId={job}", "TimeLimit=2")
        elif self.starts == PREEMPTED and self.done == 1:
            # Of all CPUs, in a partition that goes before this one.
            urgent = ("--partition=urgent", "--cpus-per-task=16", "--comment=urgent")
            run("sbatch", *urgent, "--output=/dev/null", "--wrap=true")
        elif self.starts > PREEMPTED and self.done == 2:
            # As Slurm warns of a time limit, which it has in whole minutes only. What asks for it is one of
            # the job's processes, and must not die of it.
            run("sh", "-c", f"trap '' USR1; exec scancel --signal=USR1 {job}")
        time.sleep(0.5)

    def state_dict(self):
        return {**super().state_dict(), "starts": self.starts}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.starts = state["starts"] + 1
