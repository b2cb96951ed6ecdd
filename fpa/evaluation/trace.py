"""Painting traces as `python -m fpa paint` saves them: pictures of the steps, and numbers of them.

A trace holds the factors of every update, left_t and right_t (N, C, T, D), the values v_t of the
same shape and the rates b_t (N, C, T, 1 or D); see fpa.models.painter.Painter.trace. The matrix is
W_T = W_0 + sum_t left_t right_t^T, without W_0 where that is not learned. All quantities are of
matrices, before the tanh that an image may end with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fpa.core.lazy import np

Trace = Mapping[str, "np.ndarray"]


def updates_and_partial(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """The updates left_t right_t^T and the partial sums W_t, both (N, T, C, D, D) float64."""
    left, right = (trace[name].astype(np.float64) for name in ("left", "right"))
    updates = np.einsum("ncti,nctj->ntcij", left, right)
    partial = updates.cumsum(axis=1)
    return updates, partial + trace["initial"] if "initial" in trace else partial


def step_pictures(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Updates and partial images (N, T, C, D, D), each scaled as in the paper.

    Every picture is brought to the Frobenius norm of the finished image (before the tanh, over
    all channels) and goes through the tanh where the image does.
    """
    updates, partial = updates_and_partial(trace)
    norm = _norm(partial[:, -1:])

    def scaled(pictures: np.ndarray) -> np.ndarray:
        pictures = pictures * (norm / np.maximum(_norm(pictures), 1e-12))[..., None, None, None]
        return np.tanh(pictures) if trace["tanh"] else pictures

    return scaled(updates), scaled(partial)


def _norm(matrices: np.ndarray) -> np.ndarray:
    """Frobenius norm over (C, D, D)."""
    return np.sqrt(np.square(matrices).sum(axis=(-3, -2, -1)))


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] -> uint8, rounded as samples are (x * 255 + 0.5)."""
    return (images.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def statistics(trace: Trace) -> dict[str, np.ndarray]:
    """Numbers of every step of every painting, (N, T), and the spectra, (N, T, D).

    rate            b_t, mean over channels (and rows)
    norm            ||left_t right_t^T|| / ||W_T||, Frobenius over all channels
    share           <left_t right_t^T, W_T> / ||W_T||^2: how much of the finished image the step
                    explains; the shares of all steps (and of W_0) sum to 1, but one can be negative
    explained       1 - ||W_T - W_t||^2 / ||W_T||^2
    rank            numerical rank of W_t at float32's precision, mean over channels
    effective_rank  mean over channels
    spectrum        singular values of W_t over the largest one of W_T, mean over channels
    """
    # One painting at a time: all partial images of many would not fit into memory.
    rows = [_of_one(pick(trace, n)) for n in range(len(trace["right"]))]
    return {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}


def effective_rank(singular: np.ndarray) -> np.ndarray:
    """exp of the entropy of the distribution of singular values (..., D) -> (...).

    Roy & Vetterli, EUSIPCO 2007.
    """
    weight = singular / np.maximum(singular.sum(axis=-1, keepdims=True), 1e-12)
    return np.exp(-(weight * np.log(np.maximum(weight, 1e-30))).sum(axis=-1))


def join(parts: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The statistics of several chunks of paintings as one."""
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


PER_EXPERIMENT = ("tanh", "initial")
"""Arrays that all paintings share."""


def pick(trace: Trace, n: int) -> dict[str, np.ndarray]:
    """The trace of one painting of several."""
    return {k: v if k in PER_EXPERIMENT else v[n : n + 1] for k, v in trace.items()}


def _of_one(trace: Trace) -> dict[str, np.ndarray]:
    updates, partial = (part[0] for part in updates_and_partial(trace))
    final = partial[-1]
    energy = max(np.square(final).sum(), 1e-24)
    singular = np.linalg.svd(partial, compute_uv=False)  # (T, C, D)
    largest = np.maximum(singular[..., :1], 1e-12)
    precision = singular.shape[-1] * np.finfo(np.float32).eps
    return {
        "rate": trace["rates"][0].mean(axis=(0, 2)),
        "norm": _norm(updates) / np.sqrt(energy),
        "share": (updates * final).sum(axis=(1, 2, 3)) / energy,
        "explained": 1 - np.square(final - partial).sum(axis=(1, 2, 3)) / energy,
        "rank": (singular > precision * largest).sum(axis=-1).mean(axis=1),
        "effective_rank": effective_rank(singular).mean(axis=1),
        "spectrum": (singular / largest[-1]).mean(axis=1),
    }
