"""Prints how many directions images use as matrices, and what photographs lose that have fewer.

    python docs/effective_rank.py RESULTS          the first samples of each model, as figures show them
    python docs/effective_rank.py --store STORE    all images of a prepared data set, cut to fewer ranks

The effective rank of a matrix is exp of the entropy of its singular values' distribution (Roy & Vetterli, EUSIPCO
2007); here it is the mean over colours and images, of pixels in [-1, 1]. An image that is cut to rank k is the one
nearest to it whose colours are matrices of rank k, rounded to 8 bits as samples are; its Fréchet distance is measured
to the whole images, in features of efficientnet_lite0-96px. RESULTS is an experiment's folder, trained or unpacked
from a bundle.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fpa
from fpa.core.errors import UserError
from fpa.core.files import load_array
from fpa.data.store import open_store
from fpa.evaluation.trace import effective_rank, to_uint8
from fpa.experiment.experiment import Experiment

QUICK = {"extractor": "efficientnet_lite0-96px"}


def scaled(images: np.ndarray) -> np.ndarray:
    """uint8 images -> float64 in [-1, 1]."""
    return images / 127.5 - 1


def of_images(images: np.ndarray) -> float:
    """Mean effective rank of uint8 images (N, C, H, W)."""
    return float(effective_rank(np.linalg.svd(scaled(images), compute_uv=False)).mean())


def cut(images: np.ndarray, rank: int) -> np.ndarray:
    """uint8 images (N, C, H, W), each brought to the nearest one of a rank."""
    left, singular, right = np.linalg.svd(scaled(images), full_matrices=False)
    nearest = (left[..., :rank] * singular[..., None, :rank]) @ right[..., :rank, :]
    return to_uint8((nearest + 1) / 2)


def of_models(results: Path) -> None:
    """A row for each data set and model: the first seed's samples that figures show."""
    experiment = Experiment.read(results)
    print("| data set | model | effective rank |\n| --- | --- | ---: |")
    for run in experiment.runs:
        if run.seed == experiment.first_seed:
            rank = of_images(load_array(results / run.folder / experiment.samples_file))
            print(f"| {run.dataset} | {experiment.labels[run.model]} | {rank:.1f} |")


def of_photographs(store: Path, ranks: list[int]) -> None:
    """A row for each rank: what the images of a store have left, and how far they are from themselves."""
    images = np.asarray(open_store(store)[0])
    print(
        "| cut to rank | effective rank | Fréchet distance | precision | recall |\n"
        + "| ---: " * 5
        + "|"
    )
    print(f"| whole | {of_images(images):.1f} | 0 | 1 | 1 |")
    for rank in ranks:
        less = cut(images, rank)
        scores = fpa.evaluate(less, images, QUICK | {"n_fake": len(images)})["metrics"]
        distance, *others = (scores[name]["value"] for name in ("fid", "precision", "recall"))
        print(
            f"| {rank} | {of_images(less):.1f} | {distance:.0f} |",
            *(f"{x:.3f} |" for x in others),
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 3, 4, 6, 8, 12, 16])
    words = parser.parse_args()
    if (words.results is None) == (words.store is None):
        parser.error("give a results folder, or --store and a prepared data set")
    try:
        of_models(words.results) if words.results else of_photographs(words.store, words.ranks)
    except UserError as error:
        sys.exit(f"{parser.prog}: {error}")
