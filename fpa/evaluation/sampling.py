"""A generator and a seed -> images, the same ones for every way of running it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, JsonValue

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import atomic_path, file_digest, load_array, new_array, read_record, write_json
from fpa.core.lazy import F, np, torch
from fpa.core.progress import Progress, log

if TYPE_CHECKING:
    from torch import Tensor, nn

CHUNK = 64
"""Images drawn from one seed; part of what a sample is, not a setting."""


class Purpose(Enum):
    """What a sample is for. Samples for different purposes share no latents, whatever their seeds."""

    EVALUATION = 0
    """To be scored and shown."""
    SELECTION = 1
    """To choose the best checkpoint."""
    SNAPSHOTS = 2
    """To be watched while the generator trains."""

    @property
    def spawn_key(self) -> tuple[int, ...]:
        """What tells its seeds from those of the others (numpy.random.SeedSequence)."""
        return (self.value,) if self.value else ()


class SampleInfo(BaseModel):
    """What is known of an array of images: the .json beside samples. Earlier versions wrote less of it."""

    run: str | None = None
    """Digest of the run whose generator drew them."""
    checkpoint: str | None = None
    which: str = "ema"
    """Which of its networks."""
    images_sha256: str | None = None
    """Of the array's file."""
    stages: dict[str, int] = {}
    not_finite: list[int] = []
    """Places of what is not an image."""


def described(path: Path, count: int, sha256: str) -> SampleInfo:
    """What the .json beside an array of `count` images says of it; nothing of one without such a file.

    sha256: of the array's file. UserError when the .json is no such description, or one of other images.
    """
    beside = artifacts.describing(path)
    wrong = f"(beside {path}) does not describe images; move it away, or sample again"
    info = read_record(SampleInfo, beside, wrong) if beside.exists() else SampleInfo()
    places = all(0 <= place < count for place in info.not_finite)
    if info.images_sha256 not in (None, sha256) or not places:
        raise UserError(
            f"{beside} describes other images than {path} holds; move it away, or sample again"
        )
    return info


def sample_latents(
    count: int, latent_dim: int, seed: int, chunk: int = 0, purpose: Purpose = Purpose.EVALUATION
) -> Tensor:
    """Latents (count, L) of one chunk of a sample; every chunk has another seed."""
    sequence = np.random.SeedSequence([seed, chunk], spawn_key=purpose.spawn_key)
    torch.manual_seed(sequence.generate_state(1)[0].item())
    return torch.randn(count, latent_dim)


def sample(
    generator: nn.Module, latent_dim: int, count: int, seed: int, device: torch.device
) -> np.ndarray:
    """`count` images (count, C, H, W) uint8: clamped to [0, 1], times 255, rounded.

    Seeds torch's global generators, which noise inside a generator comes from as well. Warns of
    images that are not finite.
    """
    chunks = sample_chunks(generator, latent_dim, count, seed, device)
    images, finite = map(np.concatenate, zip(*chunks, strict=True))
    _warn(int((~finite).sum()), count)
    return images


def sample_chunks(
    generator: nn.Module, latent_dim: int, count: int, seed: int, device: torch.device
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same, chunk by chunk: images, and whether every pixel of each was a number, (N,) bool.

    As uint8, what is not one is black or white.
    """
    for images, finite in chunks_on_device(generator, latent_dim, count, seed, device):
        yield images.cpu().numpy(), finite.cpu().numpy()


def chunks_on_device(
    generator: nn.Module,
    latent_dim: int,
    count: int,
    seed: int,
    device: torch.device,
    purpose: Purpose = Purpose.EVALUATION,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same as tensors on the device: images (N, C, H, W) uint8, whether finite (N,) bool."""
    # It imports torch at once.
    from fpa.core.torch_utils import to_device

    for chunk, start in enumerate(range(0, count, CHUNK)):
        with torch.inference_mode():
            # A short last chunk is the beginning of a whole one.
            z = to_device(sample_latents(CHUNK, latent_dim, seed, chunk, purpose), device)
            images = generator(z)[: min(CHUNK, count - start)]
            made = quantised(images), images.isfinite().flatten(1).all(dim=1)
        yield made


def read_latents(path: str | Path, latent_dim: int) -> Tensor:
    """Latents (N, L) float32 of a .npy file; UserError when they are something else."""
    found = load_array(path)
    if found.ndim != 2 or found.shape[1] != latent_dim or found.dtype.kind != "f":
        raise UserError(
            f"{path} holds {found.dtype} {found.shape}, expected latents as floats "
            f"(N, {latent_dim})"
        )
    if not len(found) or not np.isfinite(found).all():
        raise UserError(
            f"{path} holds {'no latents' if not len(found) else 'latents that are not finite'}"
        )
    return torch.from_numpy(found.astype(np.float32))


def images_of(generator: nn.Module, latents: Tensor, seed: int, device: torch.device) -> np.ndarray:
    """What a generator returns for latents (N, L), before clamping: (N, C, H, W) float32.

    seed: of noise inside the generator, where it has any.
    """
    torch.manual_seed(seed)
    with torch.inference_mode():
        parts = [generator(z.to(device)).float().cpu().numpy() for z in latents.split(CHUNK)]
    return np.concatenate(parts)


def save(
    path: str | Path,
    chunks: Iterable[tuple[np.ndarray, np.ndarray]],
    count: int,
    metadata: Mapping[str, JsonValue],
    progress: Progress,
) -> None:
    """Write images to a .npy file (count, C, H, W) uint8, chunk by chunk, and a .json beside it.

    The .json holds `metadata`, the array's digest, and as `not_finite` the places of images that are not.
    """
    not_finite: list[int] = []
    with atomic_path(path) as temporary:
        array, start = None, 0
        for images, finite in chunks:
            if array is None:
                shape = (count, *images.shape[1:])
                array = new_array(temporary, np.uint8, shape)
            array[start : start + len(images)] = images
            not_finite += (start + np.flatnonzero(~finite)).tolist()
            start += len(images)
            progress.update(len(images))
        if array is not None:
            array.flush()
        known = {"images_sha256": file_digest(temporary), "not_finite": not_finite}
        # First: no images without it.
        write_json(artifacts.describing(path), {**metadata, **known})
    _warn(len(not_finite), count)


def _warn(not_finite: int, count: int) -> None:
    if not_finite:
        log.warning("%d of %d images are not finite: the generator is broken", not_finite, count)


def quantised(images: Tensor) -> Tensor:
    """Float images in [0, 1] -> uint8, as torchvision's save_image rounds (x * 255 + 0.5)."""
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def to_uint8(images: Tensor) -> np.ndarray:
    """The same as an array."""
    return quantised(images).cpu().numpy()


# Images of a generator in training -----------------------------------------------------------

Snapshot = Callable[["nn.Module"], "np.ndarray"]
"""EMA generator -> uint8 images (N, C, H, W) of latents that are the same each time."""

SNAPSHOT_COUNT = 8
"""Images of a snapshot."""
LARGEST_SNAPSHOT = 64
"""Height and width of a snapshot's images, at most; larger ones are averaged down."""


def snapshot(latent_dim: int, seed: int, device: torch.device) -> Snapshot:
    """A function from the EMA generator to its images (SNAPSHOT_COUNT, C, H, W) uint8.

    seed: of the latents. Seeds torch's global generators, as sampling does.
    """

    def take(generator: nn.Module) -> np.ndarray:
        z = sample_latents(SNAPSHOT_COUNT, latent_dim, seed, purpose=Purpose.SNAPSHOTS)
        with torch.inference_mode():
            images = generator(z.to(device)).clamp(0, 1).nan_to_num()
            size = tuple(min(side, LARGEST_SNAPSHOT) for side in images.shape[2:])
            return to_uint8(F.adaptive_avg_pool2d(images, size))

    return take
