"""EfficientNet-Lite0 with its norms and paddings folded away is the package's own network."""

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from fpa.evaluation import extractors
from fpa.evaluation.extractors.efficientnet import MEAN, STD, load_lite


# Odd sizes on the way have other paddings than even ones.
@pytest.mark.parametrize("size", [32, 72, 96])
def test_folded_norms_and_paddings_change_no_feature(size, tmp_path):
    about = tmp_path / "about.json"
    found = extractors.obtain("efficientnet_lite0-32px", None, about)
    path = found.checked_weights("state_dict", about)
    plain = EfficientNet.from_name("efficientnet-lite0", image_size=size).eval()
    plain.load_state_dict(torch.load(path, weights_only=True))
    folded = load_lite(path, size)
    assert not [part for part in folded.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    images = 255 * torch.rand((3, 3, size, size), generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (MEAN, STD))
    with torch.inference_mode():
        expected = plain.extract_features((images / 255 - mean) / std).mean((2, 3))
        found = folded(images)
        scale = expected.abs().max()
        assert (found - expected).abs().max() <= 2e-5 * scale
        assert (folded.logits(found) - plain._fc(expected)).abs().max() <= 1e-4
