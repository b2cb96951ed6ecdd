"""Sampling, features and scores, against the usual ways of the libraries and of the public code."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanfid import fid as clean
from measuring import Effort, Row, clock, rounds
from plain_forms import plain_forms
from torchvision.utils import save_image

from fpa.core.progress import Progress
from fpa.evaluation import cross_check, distances, extractors, features, sampling, scores
from fpa.evaluation.features import FeatureInfo, Features
from fpa.evaluation.protocols import Space
from fpa.evaluation.scores import Pair, Settings
from fpa.runs.run import Run, build_model

METRICS = ("fid", "kid", "precision", "recall")


def sample(size: str, run: Run, count: int, device: torch.device, effort: Effort) -> Row:
    """Images of a model, saved: ours in one array, the public way one JPEG file each."""
    torch.manual_seed(run.seed)
    model: Any = build_model(run)
    model.to(device)
    row = Row("sampling", size, run.model.name, f"{count} images, saved", str(device))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def ours() -> None:
            chunks = sampling.sample_chunks(model.ema, model.latent_dim, count, 0, device)
            bar = Progress(count, "sampling", "images")
            sampling.save(folder / "samples.npy", chunks, count, {}, bar)

        @torch.inference_mode()
        def public() -> None:
            with plain_forms():
                for start in range(0, count, sampling.CHUNK):
                    z = torch.randn(min(sampling.CHUNK, count - start), model.latent_dim)
                    for i, image in enumerate(model.ema(z.to(device))):
                        save_image(image, folder / f"{start + i}.jpg")

        row.ours, row.plain = rounds([ours, public], effort, clock(device))
    row.plain_form, row.threads = "plain forms, a JPEG file each", torch.get_num_threads()
    return row


def moments(d: int, n: int, effort: Effort) -> Row:
    """The Fréchet distance of two sets of features."""
    rng = np.random.default_rng(0)
    scale = np.exp(-np.arange(d) / (d / 8))
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    one, two = (((rng.normal(size=(n, d)) * scale * s) @ mixing) for s in (1, 1.2))
    row = Row("scoring", f"{n:,} x {d:,}", "Fréchet distance", "from features", "cpu")
    row.ours, row.plain = rounds(
        [lambda: distances.frechet_of(one, two), lambda: clean.fid_from_feats(one, two)],
        effort,
        clock(torch.device("cpu")),
    )
    row.plain_form, row.threads = "clean-fid", torch.get_num_threads()
    return row


def score(d: int, n: int, settings: Settings, effort: Effort) -> Row:
    """A protocol's metrics with their errors, against the libraries' bare values."""
    rng = np.random.default_rng(0)
    about = dict.fromkeys(("extractor", "weights_sha256", "resize", "format"), "random")
    sets = [rng.normal(m, 1, (n, d)).astype(np.float32) for m in (0, 0.1)]
    both = Pair(*(Features(values, None, FeatureInfo(**about)) for values in sets))
    most = min(n, 10_000)

    def libraries() -> None:
        clean.fid_from_feats(*sets)
        clean.kernel_distance(*sets, settings.kid_subsets, settings.kid_subset_size)
        cross_check.precision_recall(*(values[:most] for values in sets))

    row = Row("scoring", f"{n:,} x {d:,}", "FID, KID, precision, recall", "with errors", "cpu")
    row.ours, row.plain = rounds(
        [lambda: scores.measure(both, None, settings), libraries],
        effort,
        clock(torch.device("cpu")),
    )
    row.plain_form = "clean-fid and torch-fidelity, without errors"
    row.threads = torch.get_num_threads()
    return row


def extraction(images: np.ndarray, extractor: str, device: torch.device, effort: Effort) -> Row:
    """Features of images (N, 3, H, W) uint8."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "files"
        folder.mkdir()
        about, out = Path(name) / "e.json", Path(name) / "features.npy"
        extractors.obtain(extractor, None, about)
        network = extractors.load(about, "clean", device)
        space = Space(extractor, "clean", "array")

        def ours() -> None:
            out.unlink(missing_ok=True)
            features.compute(images, space, about, device, out, {})

        def public() -> None:
            for i, image in enumerate(images):
                save_image(torch.from_numpy(image) / 255, folder / f"{i}.png")
            clean.get_folder_features(
                str(folder),
                network.network,
                num_workers=0,
                device=device,
                custom_fn_resize=network.resize,
                verbose=False,
            )

        size = f"{len(images):,} x {images.shape[-1]} px"
        row = Row("scoring", size, extractor, "features", str(device), torch.get_num_threads())
        row.ours, row.plain = rounds([ours, public], effort, clock(device))
        row.plain_form = "clean-fid, an image file each"
    return row
