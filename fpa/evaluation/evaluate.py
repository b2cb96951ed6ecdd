"""Any set of images scored by a protocol, as the runs of an experiment are scored."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.progress import Progress, log
from fpa.data.store import open_store
from fpa.evaluation import extractors, features, protocols, reference
from fpa.evaluation.features import Features
from fpa.evaluation.image_sets import ImageFiles, content_digest, first, open_images
from fpa.evaluation.metrics import METRICS, metrics_of_images
from fpa.evaluation.protocols import Protocol
from fpa.evaluation.scores import Score, Settings, choose, measure, pair
from fpa.evaluation.scoring import measured, stages


class Place:
    """Where features are computed: a data folder, which keeps descriptions of networks and the
    features of prepared data sets, and a device."""

    def __init__(
        self, data: str | Path, weights: str | None = None, device: str = "auto", threads: int = 0
    ) -> None:
        """weights: folder of the user's own weights files. device: auto, cpu or cuda."""
        from fpa.runs import devices

        self.data, self.weights = Path(data), weights
        self.device = devices.choose(device, threads)

    def extractor(self, name: str) -> Path:
        """The description of a network, whose weights are found or downloaded the first time."""
        path = self.data / artifacts.extractor(name)
        if not path.exists():
            extractors.obtain(name, self.weights, path)
        return path

    def features(self, images: Any, protocol: Protocol, what: str) -> Features:
        """The features of images (N, C, H, W) by a protocol; what: they are, for the progress bar."""
        space, about = protocol.space, {"images_sha256": content_digest(images)}
        files = isinstance(images, ImageFiles)
        if files and images.jpeg and space.format == "jpeg":
            # As the protocol saves images: once is enough.
            space = space._replace(format="array")
        elif files and images.jpeg:
            log.warning("%s: JPEG files, but protocol %s has none", what, protocol.name)
        bar = Progress(len(images), f"features of {what}", "images")
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "features.npy"
            network = self.extractor(space.extractor)
            features.compute(images, space, network, self.device, out, about, bar.update)
            found = features.load(out)
            bar.close()
            values = np.array(found.values)
        return Features(values, None, {**found.about, "format": protocol.format})

    def real_features(self, real: Any, protocol: Protocol) -> tuple[Features, int]:
        """The features of real images and their height (px); kept for a prepared data set."""
        images = open_images(real)
        size = images.shape[-2]
        store = Path(real) if isinstance(real, (str, Path)) else None
        if store is None or not (store / artifacts.MANIFEST).exists():
            return self.features(images, protocol, "real images"), size
        path = store.parent / artifacts.real_features(store.name, protocol.space)
        if not path.exists():
            network = self.extractor(protocol.extractor)
            features.compute_file(store, protocol.space, network, self.device, path)
        found = features.load(path)
        if found.about["images_sha256"] != open_store(store)[1].images_sha256:
            raise UserError(f"{path} has features of other images; delete it and run again")
        return found, size


def evaluate(
    images: Any,
    real: Any,
    protocol: str | Mapping[str, Any] | Protocol,
    place: Place,
    settings: Settings | None = None,
    *,
    name: str = "images",
    against: str = "",
    digest: str = "",
) -> Score:
    """The score of images against real ones, with all that it was computed from.

    images: see `image_sets.open_images`; of more than the protocol takes, the first so many. real:
    the same, or a file that `reference.save` wrote. protocol: a known one's name, or the settings
    of one of your own (`extractor`, `resize`, `format`, `n_fake`, `n_real`). name, against: what
    both are called in tables (a reference knows its own name). digest: of the reference, to be sure
    of it.

    UserError for images that cannot be read, sets of different sizes, a reference made in another
    way than the protocol's, and networks that cannot be had. Features that are not finite give the
    status `nan` and no metrics.
    """
    protocol = resolve(protocol)
    if protocol.of_paths:
        raise UserError(
            f"protocol {protocol.name} measures paths between a generator's latents, which images do "
            "not show; use python -m fpa path-length for a finished run"
        )
    settings = settings or Settings(metrics_of_images())
    for metric in settings.metrics:
        if METRICS.find(metric, "metrics").needs_cross_check:
            raise UserError(f"{metric} needs the cross-check of a workflow; leave it out here")
    # Before images are read: weights may be missing.
    place.extractor(protocol.extractor)
    opened = open_images(images)
    if len(opened) < protocol.n_fake:
        log.warning(
            "protocol %s takes %s images, found %s: this score does not compare with those of %s",
            *(protocol.name, f"{protocol.n_fake:,}", f"{len(opened):,}", f"{protocol.n_fake:,}"),
        )
    elif len(opened) > protocol.n_fake:
        opened = first(opened, protocol.n_fake)
    kept = _is_reference(real)
    if digest and not kept:
        raise UserError("only a reference file has a digest to compare; leave it out here")
    if kept:
        known = reference.load(real, digest)
        moments, count, real_features = known.moments, known.n_images, known.part
        size, against = real_features.about["image_size"], real_features.about["name"]
        if protocol.n_real not in (None, count):
            raise UserError(
                f"{real} is of {count:,} real images, but protocol {protocol.name} takes "
                f"{protocol.n_real:,}; make it by that protocol"
            )
    else:
        everything, size = place.real_features(real, protocol)
        real_features = choose(everything, protocol.n_real, settings.seed)
        moments, count = None, len(real_features.values)
    if size != opened.shape[-2]:
        raise UserError(
            f"the images are {opened.shape[-2]} px high, the real ones {size} px; scores need "
            "both at one size, since resizing changes every distance"
        )
    fake_features = place.features(opened, protocol, name)
    main = pair(real_features, fake_features)
    metrics = measure(main, None, settings, None, moments)
    return Score(
        **measured(main, protocol.name, settings, count, metrics),
        dataset=against or _called(real),
        resolution=size,
        model=name,
        seed=None,
        run=fake_features.about["images_sha256"],
        reference_sha256=known.digest if kept else None,
        checkpoint="given",
        checkpoint_kimg=None,
        kimg=None,
        generator_parameters=None,
        stages=stages(main),
    )


def make_reference(
    real: Any,
    protocol: str | Mapping[str, Any] | Protocol,
    place: Place,
    name: str,
    most: int,
    seed: int = 0,
) -> reference.Reference:
    """Reference statistics of real images by a protocol, ready to be saved.

    name: of the images, for tables. most: features that are kept beside the moments, drawn at random.
    """
    protocol = resolve(protocol)
    place.extractor(protocol.extractor)
    found, size = place.real_features(real, protocol)
    chosen = choose(found, protocol.n_real, seed)
    about = {**chosen.about, "image_size": size, "name": name}
    return reference.compute(chosen._replace(about=about), most, seed)


def resolve(protocol: str | Mapping[str, Any] | Protocol) -> Protocol:
    """A protocol from its name or settings; UserError when there is no such one."""
    if isinstance(protocol, Protocol):
        return protocol
    if isinstance(protocol, str):
        return protocols.resolve(protocol, {}, "protocol")
    settings = dict(protocol)
    name = settings.pop("name", "own")
    unknown = settings.keys() - Protocol.__dataclass_fields__.keys()
    if unknown:
        raise UserError(
            f"protocol: unknown setting '{min(unknown)}'; known are extractor, resize, format, "
            "n_fake, n_real, name"
        )
    return protocols.resolve(name, settings, "protocol")


def _is_reference(real: Any) -> bool:
    return isinstance(real, (str, Path)) and Path(real).suffix == ".npz"


def _called(real: Any) -> str:
    return Path(real).stem if isinstance(real, (str, Path)) else "real images"
