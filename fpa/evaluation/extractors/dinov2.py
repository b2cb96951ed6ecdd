"""DINOv2's vision transformer as a torch module, for the published files' tensors.

torch-fidelity runs the code of a GitHub repository for it and takes no file of weights. The network is
a pre-norm transformer (Dosovitskiy et al. 2021) with LayerScale (Touvron et al. 2021).
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCH, HEAD = 14, 64
"""Pixels of a patch's side, and the width of an attention head, in every size of the network."""
OFFSET = 0.1
"""Added to the grid's size where position codes are resized, as in the official code."""
EPSILON = 1e-6


class DINOv2Network(nn.Module):
    """(B, 3, S, S) float in [0, 255], S a multiple of 14 -> class tokens (B, width)."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, depth: int, codes: int) -> None:
        """codes: position codes of the file, one of them the class token's."""
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, codes, width))
        # Of the training alone, but in the files.
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, PATCH)})
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed["proj"]((images - self.mean) / self.std)
        side = patches.shape[-1]
        x = patches.flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)  # (B, 1 + side², width)
        x = x + self._position_codes(side)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]

    def _position_codes(self, side: int) -> Tensor:
        """(1, 1 + side², width), bicubic from the grid of the training."""
        codes = self.pos_embed[:, 1:]
        trained = round(codes.shape[1] ** 0.5)
        if trained == side:
            return self.pos_embed
        grid = codes.unflatten(1, (trained, trained)).permute(0, 3, 1, 2)
        scale = (side + OFFSET) / trained
        grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=EPSILON) for _ in range(2))
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        self.ls1, self.ls2 = (
            nn.ParameterDict({"gamma": nn.Parameter(torch.ones(width))}) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1["gamma"] * self._attention(self.norm1(x))
        return x + self.ls2["gamma"] * self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))

    def _attention(self, x: Tensor) -> Tensor:
        qkv = self.attn["qkv"](x).unflatten(-1, (3, -1, HEAD))  # (B, T, 3, heads, 64)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v)
        return self.attn["proj"](heads.transpose(1, 2).flatten(2))


def load_dinov2(path: Path) -> DINOv2Network:
    """The network of a published file, whose sizes say which one it is."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    _, codes, width = tensors["pos_embed"].shape
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    network = DINOv2Network(width, depth, codes)
    network.load_state_dict(tensors)
    return network.eval()
