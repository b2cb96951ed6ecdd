"""How long Snakemake plans the paper's experiment, and how that grows with the number of runs.

    python benchmarks/dag.py

Nothing is trained: archives and every artifact are empty files. For 3, 6 and 12 seeds: a dry run with
nothing made, and a real run with everything made. Several minutes on two cores.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
BY_HAND = ("img_align_celeba.zip", "images.zip")


def snakemake(folder: Path, *arguments: str) -> tuple[float, str]:
    """Seconds and output of a Snakemake call in a folder."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--directory", str(folder), *arguments, "--configfile", "experiment.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - started, done.stdout + done.stderr


def outputs(folder: Path) -> list[str]:
    """Every file that the workflow makes, by Snakemake's own list."""
    _, told = snakemake(folder, "--summary")
    rows = [line.split("\t") for line in told.splitlines()]
    start = next(i for i, row in enumerate(rows) if row[0] == "output_file")
    return [row[0] for row in rows[start + 1 :] if len(row) > 1]


def measure(seeds: int) -> tuple[int, float, float]:
    """Jobs, and seconds of a dry run with nothing made and of a run with everything made."""
    config = yaml.safe_load((ROOT / "experiments" / "paper.yaml").read_text(encoding="utf-8"))
    config["seeds"] = list(range(seeds))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "experiment.yaml").write_text(yaml.safe_dump(config))
        (folder / "data/archives").mkdir(parents=True)
        for archive in BY_HAND:
            (folder / "data/archives" / archive).touch()
        dry, told = snakemake(folder, "-n", "--quiet", "rules", "host")
        jobs = int(re.search(r"^total +(\d+)$", told, flags=re.M)[1])
        for path in outputs(folder):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
        # Oldest first, and what Snakemake would have noted after each job.
        snakemake(folder, "--touch", "--quiet")
        again, told = snakemake(folder)
        if "Nothing to be done" not in told:
            sys.exit(f"not everything was made:\n{told}")
    return jobs, dry, again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    print("seeds    jobs   dry run, s   no-op run, s")
    first = None
    for factor in options.factors:
        jobs, dry, again = measure(3 * factor)
        first = first or (jobs, dry, again)
        grown = " ".join(
            f"{now / then:6.2f}" for now, then in zip((jobs, dry, again), first, strict=True)
        )
        print(
            f"{3 * factor:5} {jobs:7} {dry:12.1f} {again:14.1f}   times the first: {grown}",
            flush=True,
        )


if __name__ == "__main__":
    main()
