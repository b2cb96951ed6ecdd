"""What saved strokes say about paintings: pictures of the steps, their norms, shares and ranks.

Strokes are the arrays that `python -m fpa paint` saves (shapes: fpa.models.painter.Painting): keys k_t,
values v_t and writes u_t (N, C, T, D), rates b_t (N, C, T, 1 or D). A step's update is u_t k_t^T,
the partial image W_t the sum of the updates so far (and of W_0, where that is learned). All
quantities are of the matrices, before the tanh that an image may end with.
"""

from collections.abc import Iterable, Mapping

import numpy as np

Strokes = Mapping[str, np.ndarray]


def updates_and_partial(strokes: Strokes) -> tuple[np.ndarray, np.ndarray]:
    """u_t k_t^T and W_t, both (N, T, C, D, D) float64."""
    writes, keys = (strokes[name].astype(np.float64) for name in ("writes", "keys"))
    updates = np.einsum("ncti,nctj->ntcij", writes, keys)
    partial = updates.cumsum(axis=1)
    return updates, partial + strokes["initial"] if "initial" in strokes else partial


def step_pictures(strokes: Strokes) -> tuple[np.ndarray, np.ndarray]:
    """Updates and partial images (N, T, C, D, D), each scaled as in the paper.

    Every picture is brought to the Frobenius norm of the finished image (before the tanh, over
    all channels) and goes through the tanh where the image does.
    """
    updates, partial = updates_and_partial(strokes)
    norm = _norm(partial[:, -1:])

    def scaled(pictures: np.ndarray) -> np.ndarray:
        pictures = pictures * (norm / np.maximum(_norm(pictures), 1e-12))[..., None, None, None]
        return np.tanh(pictures) if strokes["tanh"] else pictures

    return scaled(updates), scaled(partial)


def _norm(matrices: np.ndarray) -> np.ndarray:
    """Frobenius norm over (C, D, D)."""
    return np.sqrt(np.square(matrices).sum(axis=(-3, -2, -1)))


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] -> uint8, rounded as samples are (x * 255 + 0.5)."""
    return (images.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def statistics(strokes: Strokes) -> dict[str, np.ndarray]:
    """Numbers of every step of every painting, (N, T), and the spectra, (N, T, D).

    rate            b_t, mean over channels (and rows)
    norm            ||u_t k_t^T|| / ||W_T||, Frobenius over all channels
    share           <u_t k_t^T, W_T> / ||W_T||^2: how much of the finished image the step explains;
                    the shares of all steps (and of W_0) sum to 1, single ones may be negative
    explained       1 - ||W_T - W_t||^2 / ||W_T||^2
    rank            numerical rank of W_t at float32's precision, mean over channels
    effective_rank  exp of the entropy of the singular values' distribution (Roy & Vetterli,
                    EUSIPCO 2007), mean over channels
    spectrum        singular values of W_t over the largest one of W_T, mean over channels
    """
    # One painting at a time: all partial images of many would not fit into memory.
    rows = [_of_one(_pick(strokes, n)) for n in range(len(strokes["keys"]))]
    return _stack(rows)


def join(parts: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The statistics of several chunks of paintings as one."""
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


PER_EXPERIMENT = ("tanh", "initial")
"""Arrays that all paintings share."""


def _pick(strokes: Strokes, n: int) -> dict[str, np.ndarray]:
    return {k: v if k in PER_EXPERIMENT else v[n : n + 1] for k, v in strokes.items()}


def _stack(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}


def _of_one(strokes: Strokes) -> dict[str, np.ndarray]:
    updates, partial = (part[0] for part in updates_and_partial(strokes))
    final = partial[-1]
    energy = max(np.square(final).sum(), 1e-24)
    singular = np.linalg.svd(partial, compute_uv=False)  # (T, C, D)
    largest = np.maximum(singular[..., :1], 1e-12)
    precision = singular.shape[-1] * np.finfo(np.float32).eps
    weight = singular / np.maximum(singular.sum(axis=-1, keepdims=True), 1e-12)
    entropy = -(weight * np.log(np.maximum(weight, 1e-30))).sum(axis=-1)
    return {
        "rate": strokes["rates"][0].mean(axis=(0, 2)),
        "norm": _norm(updates) / np.sqrt(energy),
        "share": (updates * final).sum(axis=(1, 2, 3)) / energy,
        "explained": 1 - np.square(final - partial).sum(axis=(1, 2, 3)) / energy,
        "rank": (singular > precision * largest).sum(axis=-1).mean(axis=1),
        "effective_rank": np.exp(entropy).mean(axis=1),
        "spectrum": (singular / largest[-1]).mean(axis=1),
    }
