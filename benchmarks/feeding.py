"""Feeding batches and planning experiments."""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from measuring import Effort, Row, clock, rounds
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader
from torchvision import transforms

from fpa.data.sampler import EpochSampler
from fpa.training.batches import Batches

ROOT = Path(__file__).parents[1]
PLAIN = "ImageFolder-style: every file decoded at every step"


def photographs(count: int, size: int) -> np.ndarray:
    """Digits enlarged to images (count, 3, size, size) uint8: as smooth as photographs."""
    scans = load_digits().images[:count] * (255 / 16)
    return np.stack(
        [
            np.asarray(Image.fromarray(scan.astype(np.uint8)).convert("RGB").resize((size, size)))
            for scan in scans
        ]
    ).transpose(0, 3, 1, 2)


class Files:
    """The public code's way to one image."""

    def __init__(self, images: np.ndarray) -> None:
        size = images.shape[-1]
        self.files = []
        for image in images:
            file = io.BytesIO()
            Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG")
            self.files.append(file.getvalue())
        steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.open(io.BytesIO(self.files[i])).convert("RGB"))


def feed(size: str, images: np.ndarray, batch: int, device: torch.device, effort: Effort) -> Row:
    """An epoch of float batches on the device."""
    ours = Batches(EpochSampler(np.ascontiguousarray(images), batch, 0), device)
    theirs: DataLoader = DataLoader(Files(images), batch, shuffle=True, drop_last=True)  # type: ignore[arg-type]

    def arrays() -> None:
        for _ in range(len(images) // batch):
            ours.next()

    def decoded() -> None:
        for each in theirs:
            each.to(device)

    work = f"{len(images) // batch} batches of {batch}"
    row = Row("feeding", size, f"{images.shape[-1]} px", work, str(device))
    row.ours, row.plain = rounds([arrays, decoded], effort, clock(device))
    row.plain_form, row.threads = PLAIN, torch.get_num_threads()
    return row


def planning(configs: dict[str, Path], effort: Effort) -> Iterator[Row]:
    """`fpa plan`, the start of Python included."""
    with tempfile.TemporaryDirectory() as folder:
        for size, path in configs.items():

            def plan(path: Path = path) -> None:
                done = subprocess.run(
                    [sys.executable, "-m", "fpa", "plan", str(path)],
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    capture_output=True,
                )
                # Photographs that are not here are an error, said at the end of the plan.
                if done.returncode and b"there is no " not in done.stderr:
                    raise RuntimeError(done.stderr.decode())

            row = Row("planning", size, path.name, "fpa plan", "cpu")
            (row.ours,) = rounds([plan], effort, time.perf_counter)
            yield row
