"""What users do around finished runs, at random: is anything lost, made twice, or wrong in a table?

    PYTHONPATH=.:tests python benchmarks/soak_users.py --sequences 200

Each sequence begins with a small finished experiment, and takes some actions
(tests/users.py): data deleted, files touched, aged and moved, seeds and models added and removed, the
evaluation or the data set changed, accidents of jobs and of Snakemake. After each, the workflow runs
to its table. Ends with an error at the first finding. Half a minute a sequence on one core.
"""

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

import users
from conftest import plugins_dropped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=200, help="how many (200)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--actions", type=int, default=3, help="actions in each (3)")
    options = parser.parse_args()
    started, done = time.monotonic(), collections.Counter()
    with tempfile.TemporaryDirectory() as name, plugins_dropped():
        start = Path(name) / "start"
        start.mkdir()
        made = users.Users(start, 0)
        made.snakemake()
        for seed in range(options.first, options.first + options.sequences):
            place = Path(name) / str(seed)
            place.mkdir()
            try:
                actions = users.sequence(start, place, seed, options.actions)
            except AssertionError as error:
                sys.exit(f"sequence {seed}: {error}")
            done.update(actions)
            print(f"{seed:4} {' '.join(actions)}", flush=True)
    print(f"\n{options.sequences} sequences in {time.monotonic() - started:.0f} s, nothing found:")
    for action, times in sorted(done.items()):
        print(f"  {action:28} {times:4} times")


if __name__ == "__main__":
    main()
