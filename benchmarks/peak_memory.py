"""Peak memory of a protocol's whole way: images sampled and saved, features, scores.

    python benchmarks/peak_memory.py --images 50000 --out peak.json

As large as the paper's protocol: 64 px, JPEG, 2,048 features by clean-fid's way and by
torch-fidelity's. What costs time and no memory is small: a painter with few units and random weights,
and a random projection in the place of Inception, whose own weights would add 0.1 GB. Each stage is a
process of its own, as in the workflow. A quarter of an hour on two cores, and 3 GB of disk.

Peak memory is the process's largest resident set. Pages of files that are mapped count in it as
long as there is room, so the sizes of the files that a stage maps are given beside it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


from fpa.core import provenance  # noqa: E402
from fpa.core.files import write_json  # noqa: E402
from fpa.evaluation.extractors import EXTRACTORS, FeatureNetwork  # noqa: E402

FEATURES = 2048
NAME = "projection-64px"
METRICS = ("fid", "fid_infinity", "kid", "precision", "recall")


class Projection(FeatureNetwork):
    """A random projection of the image."""

    name, features, sizes = "projection", FEATURES, (64, 64)

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        return {"state_dict": Path(__file__)}

    def load(self, weights: Path, size: int, resize: str) -> Any:
        import torch
        from torch import nn

        torch.manual_seed(0)
        return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * 16 * 16, FEATURES))


EXTRACTORS.register("projection", Projection())


def sample(folder: Path, count: int) -> None:
    """Both sets of images: the "real" ones are another painter's."""
    import torch

    from fpa.core.progress import Progress
    from fpa.evaluation import sampling
    from fpa.models.painter import Painter
    from fpa.models.settings import PainterSettings

    settings = PainterSettings(steps=16, latent_dim=64, hidden_size=64, mini_input_size=16)
    for seed, name in enumerate(("real", "fake")):
        torch.manual_seed(seed)
        painter = Painter(64, 3, settings).eval()
        chunks = sampling.sample_chunks(painter, 64, count, seed, torch.device("cpu"))
        path = folder / f"{name}.npy"
        sampling.save(path, chunks, count, {}, Progress(count, "sampling", "images"))


def features(folder: Path, resize: str) -> None:
    """Features of both sets in one space."""
    import torch

    from fpa.evaluation import extractors
    from fpa.evaluation.features import compute_file
    from fpa.evaluation.protocols import Space

    about = folder / "e.json"
    extractors.obtain(NAME, None, about)
    for name in ("real", "fake"):
        out = folder / f"{name}.{resize}.npy"
        compute_file(
            folder / f"{name}.npy", Space(NAME, resize, "jpeg"), about, torch.device("cpu"), out
        )


def score(folder: Path) -> dict[str, Any]:
    """All metrics, with the cross-check."""
    from fpa.evaluation import features as stored
    from fpa.evaluation.scores import Settings, measure, pair

    def load(resize: str) -> Any:
        return pair(*(stored.load(folder / f"{name}.{resize}.npy") for name in ("real", "fake")))

    main = load("clean")
    return measure(main, (main, load("torch_fidelity")), Settings(METRICS))


STAGES = {
    "sample": lambda folder, count: sample(folder, count),
    "features": lambda folder, count: features(folder, "clean"),
    "features by torch-fidelity": lambda folder, count: features(folder, "torch_fidelity"),
    "score": lambda folder, count: score(folder),
}


def run_stage(name: str, folder: Path, count: int) -> None:
    """One stage in this process; prints its peak (MiB), seconds and result as JSON."""
    from fpa.runs import devices

    # As the command line's verbs do.
    devices.keep_freed_memory()
    started = time.perf_counter()
    found = STAGES[name](folder, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mib": peak, "seconds": time.perf_counter() - started, "found": found}))


def measure_stages(count: int, folder: Path) -> list[dict[str, Any]]:
    """Every stage in a process of its own."""
    rows = []
    for name in STAGES:
        words = ("--stage", name, "--folder", str(folder), "--images", str(count))
        done = subprocess.run(
            [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True
        )
        row = {"stage": name, **json.loads(done.stdout.splitlines()[-1])}
        image, vector = 3 * 64 * 64, 4 * FEATURES
        mapped = {"sample": image, "score": 4 * vector}.get(name, 2 * (image + vector))
        # Both sets of images or features; when sampling, one file after the other.
        row["mapped_mib"] = count * mapped * (2 if name == "sample" else 1) / 2**20
        print(
            f"{name:28}{row['mib']:8.0f} MiB, of files {row['mapped_mib']:6.0f}, {row['seconds']:6.0f} s"
        )
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000, help="on either side (50,000)")
    parser.add_argument("--folder", type=Path, help="for the files (a temporary one)")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="FILE", help=".json")
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage, options.folder, options.images)
        return
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure_stages(options.images, options.folder or Path(scratch))
    if options.out:
        about = {"images": options.images, "features": FEATURES, "versions": provenance.versions()}
        write_json(options.out, {"stages": rows, **about})


if __name__ == "__main__":
    main()
