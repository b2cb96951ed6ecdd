"""Snakemake, which asks for the state of its Slurm jobs every other second, not after minutes."""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, value: None)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
