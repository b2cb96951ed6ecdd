"""How fast images are prepared and fed, against the usual ways, on the same files and cores.

    python benchmarks/data.py afhq_cat.zip [SIZE]

Takes any folder, zip or tar of images (about 20 s for AFHQ-Cat's 5,153 at 128 px on two cores).
Prints, at SIZE px (64):
  prepare   images/s of `fpa.data.prepare` on all cores, everything included (listing, digests,
            writing to disk), against as many processes of Pillow that only decode and resize: once
            reading the same files from the same archive, once holding them all in memory;
  feed      images/s on one core of batches of 32 from the prepared array, as bytes and as floats,
            against an ImageFolder-style data set that decodes each file at every step.
"""

import argparse
import collections
import io
import multiprocessing
import os
import statistics
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from PIL import Image

from fpa.data.prepare import prepare
from fpa.data.readers import list_images, open_path
from fpa.data.sampler import EpochSampler
from fpa.data.sources import DatasetSpec
from fpa.data.store import open_store

BATCH = 32
ROUNDS = 7


def seconds(*actions: Callable[[], object]) -> list[float]:
    """The median time of each, in rounds of one run each, after one round that warms up."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(ROUNDS + 1):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[1:]) for taken in times]


def exhaust(batches: Iterable[object]) -> None:
    """Take every batch, keep none."""
    collections.deque(batches, maxlen=0)


def plain(files: Iterable[bytes | IO[bytes] | Path], size: int) -> None:
    """Decode and resize, nothing else."""
    for file in files:
        picture = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file).convert("RGB")
        width, height = picture.size
        short = min(width, height)
        picture.resize((size * width // short, size * height // short), Image.Resampling.BILINEAR)


def members(path: Path, names: Sequence[str]) -> Iterator[IO[bytes] | Path]:
    """The files as the ordinary libraries hand them out."""
    if path.is_dir():
        yield from (path / name for name in names)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.open(name) for name in names)
    else:
        with tarfile.open(path) as archive:
            yield from (archive.extractfile(name) for name in names)


def on_all_cores(work: Callable[[int, int], None]) -> None:
    """Run work(i, n) in n forked processes, one a core."""
    fork, cores = multiprocessing.get_context("fork"), len(os.sched_getaffinity(0))
    processes = [fork.Process(target=work, args=(i, cores)) for i in range(cores)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def compare_prepare(
    files: Sequence[bytes], names: Sequence[str], dataset: DatasetSpec, store: Path
) -> None:
    path, size = Path(str(dataset.path)), dataset.resolution
    times = seconds(
        lambda: on_all_cores(lambda i, n: plain(files[i::n], size)),
        lambda: on_all_cores(lambda i, n: plain(members(path, names[i::n]), size)),
        lambda: prepare(dataset, store),
    )
    held, read, ours = (len(files) / t for t in times)
    print(f"prepare, {len(files):,} files on {len(os.sched_getaffinity(0))} cores, images/s")
    print(f"  Pillow, files in memory         {held:10,.0f}")
    print(f"  Pillow, reading the archive     {read:10,.0f}")
    print(f"  prepare, everything             {ours:10,.0f}   ratio {ours / read:.2f}", end="")
    print(f" ({ours / held:.2f} of Pillow in memory)")


def compare_feed(files: Sequence[bytes], size: int, store: Path) -> None:
    # Here and not above: `prepare` runs without torch, and so do the processes that it forks.
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms

    from fpa.training.batches import Batches

    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    transform = transforms.Compose(steps)

    class Files:
        """The public code's way: open, convert, Resize, CenterCrop, ToTensor, at every step."""

        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, i: int) -> torch.Tensor:
            return transform(Image.open(io.BytesIO(files[i])).convert("RGB"))

    torch.set_num_threads(1)
    cpu, batches = torch.device("cpu"), len(files) // BATCH
    feed = EpochSampler(open_store(store)[0], BATCH, 0)
    ours = Batches(feed, cpu)
    loader = DataLoader(Files(), BATCH, shuffle=True, drop_last=True)
    times = seconds(
        lambda: exhaust(loader),
        lambda: exhaust(ours.next() for _ in range(batches)),
        lambda: exhaust(feed.images[feed.next_rows()] for _ in range(batches)),
    )
    decoding, as_floats, as_bytes = (batches * BATCH / t for t in times)
    print("feed, one core, images/s")
    print(f"  ImageFolder-style, floats       {decoding:10,.0f}")
    print(
        f"  ours, floats                    {as_floats:10,.0f}   ratio {as_floats / decoding:.0f}"
    )
    print(f"  ours, bytes                     {as_bytes:10,.0f}   ratio {as_bytes / decoding:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", help="folder, zip or tar of images")
    parser.add_argument("size", type=int, nargs="?", default=64, help="px (64)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        reader = open_path(Path(options.path), Path(scratch))
        images = {found.place for found in list_images(reader).images}
        found = [found for found in reader.list() if found.place in images]
        names, files = [f.name for f in found], [reader.read(f.place) for f in found]
        dataset = DatasetSpec(
            name="benchmark",
            source="folder",
            path=options.path,
            count=len(files),
            resolution=options.size,
        )
        store = Path(scratch) / "store"
        compare_prepare(files, names, dataset, store)
        compare_feed(files, options.size, store)


if __name__ == "__main__":
    main()
