"""Metrics that a configuration can name in `evaluation.metrics`.

A metric is one function and one registration, in the order in which people read them. A plugin
registers its metrics in the same way. Nothing here imports torch, NumPy or SciPy before a metric is
computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from fpa.core.errors import UserError
from fpa.core.lazy import LazyModule
from fpa.core.registry import Registry
from fpa.evaluation import distances, kernel_distances
from fpa.evaluation import precision_recall as pr
from fpa.evaluation.distances import Estimate, Gaussian, Method
from fpa.evaluation.extractors import find_extractor
from fpa.evaluation.protocols import MOST_COVERED, Protocol

if TYPE_CHECKING:
    from pydantic import JsonValue

    from fpa.evaluation.features import Features

cross_check = LazyModule("fpa.evaluation.cross_check")  # torch-fidelity takes a second to import

LARGEST_DIFFERENCE = 1e-3
"""Between the two libraries' FID, relative."""
INCEPTION_SCORE_SPLITS = 10


class Settings(NamedTuple):
    """How to measure (the configuration's `evaluation` section)."""

    metrics: Sequence[str]
    """Names in METRICS."""
    frechet: Method = "symmetric"
    kid_subsets: int = 100
    kid_subset_size: int = 1000
    groups: int = 10
    seed: int = 0

    def as_json(self) -> dict[str, JsonValue]:
        """As score files have them."""
        return {**self._asdict(), "metrics": list(self.metrics)}


class Pair(NamedTuple):
    """Real and generated images in one feature space."""

    real: Features
    fake: Features


class Conditions(NamedTuple):
    """What a metric can be computed from, as far as it is known."""

    extractor: str
    features: int
    """d, the length of a feature vector."""
    n_fake: int
    n_real: int | None
    """None where it is not known yet."""
    groups: int
    cross_check: bool
    logits: bool
    """Whether torch-fidelity's features come with class logits."""
    of_paths: bool = False

    @classmethod
    def of(
        cls, protocol: Protocol, groups: int, cross_check: bool, n_real: int | None = None
    ) -> Conditions:
        """Those of a protocol; n_real: of a data set's images, if that is known."""
        network, _ = find_extractor(protocol.extractor, protocol.name)
        return cls(
            protocol.extractor,
            network.features,
            protocol.n_fake,
            protocol.n_real or n_real,
            groups,
            cross_check,
            len(network.layers) > 1,
            protocol.of_paths,
        )


@dataclass(frozen=True)
class Measurement:
    """The features that a model is scored by, and intermediate results that metrics share."""

    main: Pair
    """Real and generated images in the protocol's feature space."""
    libraries: tuple[Pair, Pair] | None
    """The same images by clean-fid and by torch-fidelity, where there is a cross-check."""
    settings: Settings
    real_manifold: pr.Manifold | None = None
    """Of the real images, for precision and recall, where it is known already."""
    real_moments: Gaussian | None = None
    """Of all real images, where `main` holds only a part of them."""

    @property
    def conditions(self) -> Conditions:
        """What there is to compute metrics from."""
        real, fake = self.main
        return Conditions(
            fake.info.extractor or "",
            fake.values.shape[1],
            len(fake.values),
            len(real.values),
            self.settings.groups,
            self.libraries is not None,
            self.torch_fidelity is not None and self.torch_fidelity.fake.logits is not None,
        )

    @property
    def torch_fidelity(self) -> Pair | None:
        """torch-fidelity's features."""
        return self.libraries[1] if self.libraries else None

    @cached_property
    def frechet(self) -> tuple[Estimate, Estimate | None]:
        """The Fréchet distance, and its limit for infinitely many samples if there is one."""
        settings = self.settings
        return distances.frechet_estimates(
            self.main.real.values,
            self.main.fake.values,
            settings.groups,
            settings.seed,
            settings.frechet,
            self.real_moments,
        )

    @cached_property
    def precision_recall(self) -> tuple[float, float]:
        """Precision and recall, of as many real images as generated ones."""
        real, fake = self.main.real.values, self.main.fake.values
        n, seed = pr.images(len(real), len(fake)), self.settings.seed
        manifold = self.real_manifold or pr.real_subset(real, n, seed)
        chosen = fake[pr.subset(len(fake), len(manifold.centres), seed)]
        return pr.precision_recall(manifold, chosen)


@dataclass(frozen=True)
class Metric:
    """A metric's registration: all that tables, figures and checks need to know about it."""

    name: str
    """In configurations and score files."""
    label: str
    """In tables, figures and logs."""
    lower_is_better: bool
    compute: Callable[[Measurement], Mapping[str, Estimate]]
    """Its value under its name, and further ones (another library's value) under names of theirs.
    Called where nothing is lacking. Heavy imports belong inside."""
    scale: float = 1.0
    """Factor by which tables and figures multiply it; score files and CSVs keep plain values."""
    digits: int = 2
    """Decimal places in tables."""
    drawn: bool = False
    """Whether the figure of scores has a panel for it."""
    table: bool = False
    """Whether it has a table to itself."""
    needs: str = ""
    """What it cannot be computed without, for the caption of a table that lacks it."""
    lacks: Callable[[Conditions], str] = lambda conditions: ""
    """Why it cannot be computed under these conditions; empty where it can."""
    of_features: bool = True
    """Whether it follows from features of images, which path lengths do not."""
    uses_sampling_groups: bool = False
    """Whether its standard error needs two samples in each of `groups` parts of them."""
    uses_real_radii: bool = False
    """Whether it looks at the neighbourhoods of real images, which are kept beside their features."""
    needs_cross_check: bool = False
    """Whether it is computed from torch-fidelity's features; left out where there are none."""
    elsewhere: str = ""
    """What it is called in features of other networks than Inception-v3; empty where that is the same."""


FRECHET = "Fréchet distance"
METRICS: Registry[Metric] = Registry("metric", Metric)


def label_of(name: str, extractors: Iterable[str]) -> str:
    """What a metric, or a further value of one, is called in features of these networks.

    Only Inception-v3's give an 'FID'.
    """
    base = name if name in METRICS else name.partition("_")[0]
    metric, rest = METRICS[base], name.removeprefix(base).replace("_", " ")
    inception = set(extractors) == {"inception_v3"}
    return (metric.label if inception else metric.elsewhere or metric.label) + rest


def heading(name: str, extractors: Iterable[str], times: str = "x") -> str:
    """A metric's label with the factor by which the shown values are multiplied."""
    label, scale = label_of(name, extractors), METRICS[name].scale
    return label if scale == 1 else f"{label} {times} {scale:g}"


def why_not(name: str, conditions: Conditions) -> str:
    """Why a metric cannot be computed under these conditions; empty where it can."""
    metric = METRICS[name]
    if metric.of_features == conditions.of_paths:
        return "needs features of images" if conditions.of_paths else f"needs {metric.needs}"
    if metric.needs_cross_check and not conditions.cross_check:
        return f"needs {metric.needs or 'the cross-check'}"
    return metric.lacks(conditions)


def drawn_metrics() -> list[str]:
    """Metrics that are panels of the figures, in their order."""
    return [name for name, metric in METRICS.items() if metric.drawn]


def metrics_of_images() -> list[str]:
    """What is measured of images where nothing else is asked for: all that needs no cross-check."""
    return [
        metric.name
        for metric in METRICS.values()
        if metric.of_features and not metric.needs_cross_check
    ]


def fid(measurement: Measurement) -> Mapping[str, Estimate]:
    """Fréchet Inception distance (Heusel et al. 2017).

    With a cross-check also torch-fidelity's, and the relative difference of the two; UserError when
    that is too large.
    """
    value, _ = measurement.frechet
    if measurement.libraries is None:
        return {"fid": value}
    clean, other = measurement.libraries
    theirs = cross_check.frechet(other.real.values, other.fake.values)
    # A protocol in clean-fid's half of the check has this distance already.
    ours = (
        value.value
        if clean is measurement.main
        else distances.frechet_of(
            clean.real.values, clean.fake.values, measurement.settings.frechet
        )
    )
    return {
        "fid": value,
        "fid_torch_fidelity": Estimate(theirs, math.nan),
        "fid_difference": Estimate(_difference(ours, theirs), math.nan),
    }


def _difference(ours: float, theirs: float) -> float:
    """Relative; UserError when it is too large."""
    difference = abs(ours - theirs) / max(abs(ours), abs(theirs), 1e-12)
    if difference > LARGEST_DIFFERENCE:
        raise UserError(
            f"two libraries disagree on the Fréchet distance of the same images: {ours:.6g} "
            f"(clean-fid's features) and {theirs:.6g} (torch-fidelity), a relative difference of "
            f"{difference:.1e}, where {LARGEST_DIFFERENCE:g} is allowed; check the versions and "
            "weights of both, or set evaluation.cross_check: false to score with clean-fid alone"
        )
    return difference


def fid_infinity(measurement: Measurement) -> Mapping[str, Estimate]:
    """The FID's limit for infinitely many samples (Chong & Forsyth 2020), where there are enough of
    them to extrapolate (see `fpa.evaluation.distances`)."""
    _, limit = measurement.frechet
    return {} if limit is None else {"fid_infinity": limit}


def _lacks_samples(conditions: Conditions) -> str:
    needed = distances.samples_for_limit(conditions.features, conditions.groups)
    if conditions.n_fake >= needed:
        return ""
    return (
        f"needs {needed:,} samples, {distances.SAMPLES_PER_FEATURE} for each of "
        f"{conditions.features:,} feature dimensions, found {conditions.n_fake:,}"
    )


def kid(measurement: Measurement) -> Mapping[str, Estimate]:
    """Kernel Inception distance (Bińkowski et al. 2018).

    With a cross-check also torch-fidelity's, of subsets drawn with the same seed.
    """
    settings = measurement.settings
    subsets = (settings.kid_subsets, settings.kid_subset_size)
    real, fake = (part.values for part in measurement.main)
    found = {
        "kid": kernel_distances.kid_estimate(real, fake, *subsets, settings.groups, settings.seed)
    }
    if measurement.torch_fidelity is not None:
        real, fake = (part.values for part in measurement.torch_fidelity)
        mean = cross_check.kernel(real, fake, *subsets, settings.seed)
        found["kid_torch_fidelity"] = Estimate(mean, math.nan)
    return found


def cmmd(measurement: Measurement) -> Mapping[str, Estimate]:
    """CMMD (Jayasumana et al. 2024): a kernel distance that needs few samples.

    In CLIP's features, of at most 10,000 real and as many generated images, drawn at random. The
    bandwidth is of unit vectors in CLIP's space: in others the value means nothing.
    """
    main, settings = measurement.main, measurement.settings
    real, fake = (
        part.values[pr.subset(len(part.values), MOST_COVERED, settings.seed)] for part in main
    )
    return {"cmmd": kernel_distances.cmmd(real, fake, settings.groups, settings.seed)}


def _lacks_clip(conditions: Conditions) -> str:
    found = conditions.extractor
    clip = found.startswith("clip_")
    return "" if clip else f"needs {METRICS['cmmd'].needs}, found {found or 'others'}"


def precision(measurement: Measurement) -> Mapping[str, Estimate]:
    """Improved precision (Kynkäänniemi et al. 2019): the share of generated images that lie among real
    ones. Without an error: nothing tells it from one set of samples."""
    return {"precision": Estimate(measurement.precision_recall[0], math.nan)}


def recall(measurement: Measurement) -> Mapping[str, Estimate]:
    """Improved recall (Kynkäänniemi et al. 2019): the share of real images that lie among generated
    ones. Without an error: nothing tells it from one set of samples."""
    return {"recall": Estimate(measurement.precision_recall[1], math.nan)}


def _lacks_neighbours(conditions: Conditions) -> str:
    found = min(n for n in (conditions.n_real, conditions.n_fake) if n is not None)
    return "" if found > pr.NEIGHBOURS else f"needs four images on either side, found {found}"


def inception_score(measurement: Measurement) -> Mapping[str, Estimate]:
    """Inception Score (Salimans et al. 2016) by torch-fidelity, from class logits of at least as many
    samples as there are splits."""
    pair, splits = measurement.torch_fidelity, INCEPTION_SCORE_SPLITS
    assert pair
    mean, deviation = cross_check.inception_score(
        pair.fake.logits, splits, measurement.settings.seed
    )
    # Of the mean over disjoint splits; the library divides by their number, not by one less.
    return {"inception_score": Estimate(mean, deviation / math.sqrt(splits - 1))}


def _lacks_logits(conditions: Conditions) -> str:
    if not conditions.logits:
        return f"needs class logits, which {conditions.extractor} has not"
    enough = conditions.n_fake >= INCEPTION_SCORE_SPLITS
    return "" if enough else f"needs {INCEPTION_SCORE_SPLITS} samples, found {conditions.n_fake}"


for _metric in (
    Metric(
        *("fid", "FID", True, fid),
        elsewhere=FRECHET,
        drawn=True,
        table=True,
        uses_sampling_groups=True,
    ),
    Metric(
        *("fid_infinity", "FID ∞", True, fid_infinity),
        elsewhere=f"{FRECHET} ∞",
        needs="four samples for each dimension of the features",
        lacks=_lacks_samples,
        uses_sampling_groups=True,
    ),
    Metric(
        *("kid", "KID", True, kid),
        scale=1000,
        drawn=True,
        table=True,
        uses_sampling_groups=True,
    ),
    Metric(
        *("cmmd", "CMMD", True, cmmd),
        digits=3,
        drawn=True,
        needs="CLIP features (protocol clip)",
        lacks=_lacks_clip,
    ),
    # Perceptual path length (Karras et al. 2019): fpa.evaluation.path_length computes it.
    Metric(
        *("ppl", "PPL", True, lambda measurement: {}),
        digits=1,
        drawn=True,
        needs="paths between latents (protocol ppl)",
        of_features=False,
    ),
    *(
        Metric(
            *(compute.__name__, compute.__name__, False, compute),
            digits=3,
            drawn=True,
            needs="four images on either side",
            lacks=_lacks_neighbours,
            uses_real_radii=True,
        )
        for compute in (precision, recall)
    ),
    Metric(
        *("inception_score", "Inception Score", False, inception_score),
        needs="cross_check: true and ten samples",
        lacks=_lacks_logits,
        needs_cross_check=True,
    ),
):
    METRICS.register(_metric.name, _metric)
