"""A feature network behind one of clean-fid's resizes, ready to run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cleanfid.resize import make_resizer
from torch import Tensor, nn
from torch.nn.functional import interpolate


class Extractor(nn.Module):
    """Images (B, 3, S, S) float in [0, 255], as `resize` returns them -> features (B, d) float32."""

    def __init__(
        self,
        about: dict[str, Any],
        resize: str,
        sha256: str,
        network: nn.Module,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.size: int = about["features"]
        self.identity = {"extractor": about["name"], "weights_sha256": sha256, "resize": resize}
        self.device, self.network = device, network.eval()
        self.resize = resizer(resize, about["input_size"])
        self.resize_batch = batch_resizer(resize, about["input_size"])

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.network(images).float().cpu()

    @torch.inference_mode()
    def on_device(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W), C 1 or 3, on the network's device -> features (B, d) there.

        All are resized at once; the features are those of `features` but for rounding.
        """
        pixels = self.resize_batch(images.expand(-1, 3, -1, -1).float())
        return self.network(pixels.contiguous(memory_format=torch.channels_last)).float()

    def features(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (B, H, W, 3) -> features (B, d) float32, images resized one by one."""
        resized = np.stack([self.resize(image) for image in images])
        return self(torch.from_numpy(resized).permute(0, 3, 1, 2)).numpy()


def resizer(resize: str, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """clean-fid's resizer of one image (H, W, 3) uint8 -> float32 at the input size."""
    if resize == "clean":
        return make_resizer("PIL", False, "bicubic", (size, size))
    if resize == "pytorch":
        return make_resizer("PyTorch", False, "bilinear", (size, size))
    # The network itself resizes, as TensorFlow 1 did.
    return lambda image: image.astype(np.float32)


def batch_resizer(resize: str, size: int) -> Callable[[Tensor], Tensor]:
    """The same for images (B, 3, H, W) float32 in [0, 255] on any device, all at once.

    torch's antialiased bicubic filter is Pillow's.
    """

    def resized(images: Tensor) -> Tensor:
        how: dict[str, Any] = (
            {"mode": "bicubic", "antialias": True} if resize == "clean" else {"mode": "bilinear"}
        )
        return interpolate(images, (size, size), align_corners=False, **how).clamp(0, 255)

    return resized if resize in ("clean", "pytorch") else lambda images: images
