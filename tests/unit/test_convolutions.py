"""Convolutions in faster forms are torch's convolutions, and so are their derivatives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpa.models import convolutions
from fpa.models.convolutions import (
    FewChannels,
    FromImage,
    FromVector,
    Pointwise,
    UpConv,
    WholeMap,
    pointwise,
    transposed,
)


def plain(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    if isinstance(layer, nn.ConvTranspose2d):
        return F.conv_transpose2d(x, layer.weight, layer.bias)
    if isinstance(layer, UpConv):
        x = F.interpolate(x, scale_factor=2)
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Pointwise(3, 5), (2, 3, 4, 6)),
        (Pointwise(3, 5, bias=False), (2, 3, 4, 6)),
        (WholeMap(3, 2, 4), (2, 3, 4, 4)),
        (FromVector(3, 2, 4), (2, 3, 1, 1)),
        (FromImage(1, 5, 4, stride=2, padding=1), (2, 1, 6, 8)),
        (FromImage(3, 5, 3, padding=1), (2, 3, 4, 6)),
        (FewChannels(5, 3), (2, 5, 4, 6)),
        (UpConv(5, 2), (2, 5, 3, 4)),
        (UpConv(3, 2 * convolutions.FEW), (2, 3, 3, 4)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_layer_is_the_convolution_that_it_stands_for(layer, shape):
    layer = layer.double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)  # starts as one, too
    torch.testing.assert_close(layer(x), plain(layer, x))
    values = [x, *layer.parameters()]
    weights = torch.randn_like(layer(x))

    def twice(form) -> list[Tensor]:
        """Gradients, and those of their squares, as a penalty takes them."""
        first = torch.autograd.grad((form() * weights).sin().sum(), values, create_graph=True)
        total = sum(gradient.square().sum() for gradient in first)
        return [*first, *torch.autograd.grad(total, values)]

    found, expected = twice(lambda: layer(x)), twice(lambda: plain(layer, x))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", [4, 64])
def test_a_pointwise_convolution_of_small_and_large_maps(size, monkeypatch):
    monkeypatch.setattr(convolutions, "SMALL", 2**17)  # one of either form, on any machine
    x, weight = torch.randn(2, 16, size, size), torch.randn(8, 16, 1, 1)
    torch.testing.assert_close(pointwise(x, weight), F.conv2d(x, weight), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, 3, convolutions.FEW + 1])
@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (4, 2, 1), (5, 3, 0)])
def test_a_transposed_convolution_to_few_and_to_many_channels(outputs, size, stride, padding):
    x = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    weight = torch.randn(4, outputs, size, size, dtype=torch.float64)
    bias = torch.randn(outputs, dtype=torch.float64)
    for shift in (None, bias):
        expected = F.conv_transpose2d(x, weight, shift, stride=stride, padding=padding)
        torch.testing.assert_close(transposed(x, weight, shift, stride, padding), expected)


def test_on_other_devices_they_are_torchs_own(monkeypatch):
    """A GPU has fast kernels for all of them."""

    def refuse(*arguments: Tensor) -> None:
        raise AssertionError("a product")

    monkeypatch.setattr(convolutions, "_product", refuse)
    x = torch.empty(2, 4, 5, 5, device="meta")
    for layer, size in ((Pointwise(4, 2), 5), (FewChannels(4, 2), 5), (UpConv(4, 2), 10)):
        assert layer.to("meta")(x).shape == (2, 2, size, size)
    assert FromImage(1, 2, 3).to("meta")(x[:, :1]).shape == (2, 2, 3, 3)
    with pytest.raises(AssertionError, match="a product"):
        Pointwise(4, 2)(torch.zeros(2, 4, 5, 5))


@pytest.mark.parametrize(
    "layer",
    [Pointwise(4, 2), FewChannels(4, 2), UpConv(4, 2), FromVector(100, 2, 4)],
    ids=lambda layer: type(layer).__name__,
)
def test_an_export_takes_any_number_of_images(layer):
    """As ONNX is written, from a trace with two of them."""
    batch = {"x": {0: torch.export.Dim.DYNAMIC}}
    shape = (100, 1, 1) if isinstance(layer, FromVector) else (4, 5, 5)
    exported = torch.export.export(layer, (torch.randn(2, *shape),), dynamic_shapes=batch)
    x = torch.randn(3, *shape)
    torch.testing.assert_close(exported.module()(x), layer(x))
