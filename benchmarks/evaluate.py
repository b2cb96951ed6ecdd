"""How fast scores are, as ratios against recomputing everything in the way of the public code.

    python benchmarks/evaluate.py --images 1000

Two image sets (noise: the time does not depend on what they show), one extractor. Public way: save
both sets as files, read both through clean-fid's folder reader, Fréchet distance by the square root
of a matrix; that again for every model and every score. Some minutes on two cores.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanfid import fid as clean
from PIL import Image

from fpa.evaluation import distances, extractors, features
from fpa.evaluation.protocols import Space

CPU = torch.device("cpu")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def frechet(d: int, n: int) -> None:
    """Our Fréchet distance against clean-fid's, from moments, as both take them."""
    rng = np.random.default_rng(0)
    scale = np.exp(-np.arange(d) / (d / 8))
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    one, two = ((rng.normal(size=(n, d)) * scale * s) @ mixing for s in (1, 1.2))
    shift = distances.origin(one)
    sums = [distances.sums(x, shift) for x in (one, two)]
    mine, ours = timed(lambda: distances.frechet(*(distances.gaussian(s, shift) for s in sums)))
    moments = [m for x in (one, two) for m in (x.mean(0), np.cov(x.T))]
    theirs, value = timed(lambda: clean.frechet_distance(*moments))
    print(f"Fréchet distance, {d} dimensions: clean-fid {theirs:.2f} s, ours {mine:.2f} s")
    print(f"  ratio ours / clean-fid    {mine / theirs:8.3f}")
    print(f"  relative difference       {abs(ours - value) / value:8.1e}")


def pipeline(name: str, count: int, folder: Path) -> None:
    """A first score, a second one with other metrics, and the public way for either."""
    rng = np.random.default_rng(0)
    sets = [rng.integers(0, 256, (count, 3, 64, 64), dtype=np.uint8) for _ in range(2)]
    extractors.obtain(name, None, folder / "e.json")
    space = Space(name, "clean", "array")
    paths = [folder / f"{i}.npy" for i in range(2)]

    def extract(side: int) -> None:
        features.compute(sets[side], space, folder / "e.json", CPU, paths[side], {})

    def score() -> float:
        return distances.frechet_of(*(features.load(path).values for path in paths))

    def public() -> float:
        network = extractors.load(folder / "e.json", "clean", CPU)
        found = []
        for side, images in enumerate(sets):
            files = folder / f"files{side}"
            files.mkdir(exist_ok=True)
            for i, image in enumerate(images):
                Image.fromarray(image.transpose(1, 2, 0)).save(files / f"{i}.jpg")
            found.append(
                clean.get_folder_features(
                    str(files),
                    network,
                    num_workers=0,
                    device=CPU,
                    custom_fn_resize=network.resize,
                    verbose=False,
                )
            )
        return clean.fid_from_feats(*found)

    real, _ = timed(lambda: extract(0))
    fake, _ = timed(lambda: extract(1))
    again, _ = timed(score)
    publicly, _ = timed(public)
    print(f"{count:,} real and {count:,} generated images of 64 px in {name}")
    print(f"  public way, every score                        {publicly:8.1f} s")
    print(f"  ours, a model's first score                    {fake + again:8.1f} s")
    print(f"  ours, another metric of it                     {again:8.1f} s")
    print(f"  (real features, once for a data set            {real:8.1f} s)")
    print(f"  ratio, first score                             {publicly / (fake + again):8.1f}")
    print(f"  ratio, another metric                          {publicly / again:8.1f}")


MEMORY = """
import resource, sys
import numpy as np
from fpa.evaluation import distances
x = np.load(sys.argv[1], mmap_mode="r")
distances.sums(x, distances.origin(x))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory(folder: Path, d: int = 512) -> None:
    """Peak memory of the moments of n features, for n and 8 n.

    Mapped pages count as memory of the process as long as they fit: the file's size is subtracted.
    """
    peaks = []
    for n in (20_000, 160_000):
        path = folder / "x.npy"
        array = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
        array[:] = 1
        array.flush()
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True
        )
        peaks.append((n, int(done.stdout) / 1024 - path.stat().st_size / 2**20))
    for n, peak in peaks:
        print(f"Peak memory, moments of {n:7,} features: {peak:6.0f} MiB beside the mapped file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="images in each set")
    parser.add_argument("--extractor", default="efficientnet_lite0-96px")
    options = parser.parse_args()
    frechet(2048, 5000)
    with tempfile.TemporaryDirectory() as folder:
        pipeline(options.extractor, options.images, Path(folder))
        memory(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
