"""Reference statistics: all that a set of real images is scored against, in one file to ship.

An .npz holds mean and covariance of the features of all images, which a Fréchet distance is
measured against, and a random part of the features for what needs more than moments (KID, CMMD,
precision and recall). Its digest covers all of it, and what the features were made by.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fpa.core.errors import UserError
from fpa.core.files import canonical_json, load_arrays, save_npz
from fpa.evaluation.distances import Gaussian, check_varied, from_covariance, gaussian
from fpa.evaluation.features import FeatureInfo, Features
from fpa.evaluation.precision_recall import subset
from fpa.evaluation.protocols import MOST_COVERED

FORMAT = 1


class Reference(NamedTuple):
    """What a set of real images is scored against."""

    moments: Gaussian
    """Of the features of all images."""
    n_images: int
    """How many these are."""
    part: Features
    """A random part of the features, with the description of all."""
    digest: str
    """SHA-256 (hex) of the whole."""


def compute(real: Features, most: int = MOST_COVERED, seed: int = 0) -> Reference:
    """The reference of a set of features; `most`: of them, in the random part.

    UserError for NaN, for a single image, and for one image again and again.
    """
    values = real.values
    if len(values) < 2 or not np.isfinite(values).all():
        raise UserError(
            f"a reference needs two images with finite features, found {len(values)} images, "
            f"{int((~np.isfinite(values).all(axis=1)).sum())} of them without; use other images"
        )
    check_varied(values)
    moments = gaussian(values)
    rows = subset(len(values), most, seed)
    part = Features(np.asarray(values[rows], np.float32), None, real.info)
    return Reference(moments, len(values), part, _digest(moments, len(values), part))


def save(path: str | Path, reference: Reference) -> None:
    save_npz(
        path,
        mean=reference.moments.mean,
        covariance=reference.moments.covariance,
        features=reference.part.values,
        about=np.array(_described(reference.n_images, reference.part.info)),
        digest=np.array(reference.digest),
    )


def load(path: str | Path, digest: str = "") -> Reference:
    """A reference from its file, every number checked against its digest.

    digest: the one that it must have, or the beginning of it. UserError when it has another, and
    for a file that is damaged or no reference.
    """
    with load_arrays(path) as found:
        try:
            mean, covariance, values = (found[key] for key in ("mean", "covariance", "features"))
            about = json.loads(str(found["about"]))
            said, count = str(found["digest"]), about.pop("count")
            if about.pop("reference_format") != FORMAT:
                raise ValueError("it has another format")
            info = FeatureInfo.model_validate(about)
        except (KeyError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path} is not a reference of this version ({error}); "
                "make it with python -m fpa reference"
            ) from error
    moments = from_covariance(mean, covariance, count)
    part = Features(values, None, info)
    computed = _digest(moments, count, part)
    if computed != said:
        raise UserError(
            f"{path} has the digest {computed[:12]}..., but says {said[:12]}...; it is damaged, "
            "fetch it again"
        )
    if not computed.startswith(digest):
        raise UserError(
            f"{path} has the digest {computed[:12]}..., expected {digest[:12]}...; "
            "it is another reference"
        )
    return Reference(moments, count, part, computed)


def _described(count: int, info: FeatureInfo) -> str:
    return canonical_json({**info.as_json(), "count": count, "reference_format": FORMAT})


def _digest(moments: Gaussian, count: int, part: Features) -> str:
    found = hashlib.sha256(_described(count, part.info).encode())
    for array, kind in (
        (moments.mean, "<f8"),
        (moments.covariance, "<f8"),
        (part.values, "<f4"),
    ):
        found.update(np.ascontiguousarray(array, kind).tobytes())
    return found.hexdigest()
