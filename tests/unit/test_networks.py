"""Layers against slow loops, the sizes that networks take, and faster forms of convolutions and products with
3 x 3 neighbourhoods against torch's and shifted copies."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.lightgan.model import Generator
from baselines.lightgan.settings import GeneratorSettings
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
from fpa.models.discriminator import Discriminator
from fpa.models.layers import Blur, ChanNorm, DualAttention
from fpa.models.neighbourhood import MANY, correlate, gather, scatter
from fpa.models.settings import DiscriminatorSettings
from fpa.models.unet import HEAD_DIM, HEADS, Attention

SMALL = {"fmap_max": 8, "heads": 2, "head_dim": 4, "view_width": 8}


def test_local_attention_equals_a_loop_over_positions():
    torch.manual_seed(0)
    attention = DualAttention(5, heads=2, head_dim=3).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    q = attention.local_q(x).reshape(2, 2, 3, 4, 6) * 3**-0.5
    k, v = (m.reshape(2, 2, 3, 4, 6) for m in attention.local_kv(x).chunk(2, dim=1))
    expected = torch.zeros(2, 2, 3, 4, 6, dtype=torch.float64)
    for i in range(4):
        for j in range(6):
            scores, values = [], []
            for a in range(i - 1, i + 2):
                for b in range(j - 1, j + 2):
                    inside = 0 <= a < 4 and 0 <= b < 6
                    zero = torch.zeros(2, 2, 3, dtype=torch.float64)
                    scores.append((q[..., i, j] * (k[..., a, b] if inside else zero)).sum(-1))
                    values.append(v[..., a, b] if inside else zero)
            weights = torch.stack(scores).softmax(0)
            expected[..., i, j] = sum(
                w[..., None] * u for w, u in zip(weights, values, strict=True)
            )
    torch.testing.assert_close(attention._local(x), expected.reshape(2, 6, 4, 6))


@pytest.mark.parametrize("size", [(2, 3), (8, 8), (5, 13), (16, 16)])
def test_blur_equals_a_convolution_of_the_reflected_image(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    line = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    kernel = torch.outer(line, line).expand(3, 1, 3, 3)
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=3)
    torch.testing.assert_close(Blur()(x), expected)


@pytest.mark.parametrize("size", [(2, 3), (4, 4), (8, 8), (5, 13)])
def test_blur_of_larger_pixels_with_zeros_around(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = F.pad(Blur()(F.interpolate(x, scale_factor=2)), (2, 1, 2, 1))
    torch.testing.assert_close(Blur(scale=2, padding=(2, 1))(x), expected)


def test_what_an_evaluation_blurred_first_can_still_be_trained_through():
    for size in (7, 11):
        with torch.inference_mode():
            Blur()(torch.ones(1, 1, size, size))
        x = torch.ones(1, 1, size, size, requires_grad=True)
        Blur()(x).sum().backward()
        torch.testing.assert_close(x.grad.sum(), torch.tensor(float(size**2)))


def test_linear_attention_equals_a_loop_over_positions():
    torch.manual_seed(0)
    attention = DualAttention(5, heads=2, head_dim=3).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    q, k, v = (
        m.reshape(2, 2, 3, 24)
        for m in (attention.linear_q(x), *attention.linear_kv(x).chunk(2, dim=1))
    )
    q, k = q.softmax(2) * 3**-0.5, k.softmax(3)
    expected = torch.zeros(2, 2, 3, 24, dtype=torch.float64)
    for here in range(24):
        for there in range(24):
            share = (q[..., here] * k[..., there]).sum(-1, keepdim=True)
            expected[..., here] += share * v[..., there]
    torch.testing.assert_close(attention._linear(x), F.gelu(expected.reshape(2, 6, 4, 6)))


def test_the_unets_linear_attention_equals_values_mixed_at_every_position():
    torch.manual_seed(0)
    attention = Attention(6, linear=True).double()
    x = torch.randn(2, 6, 4, 4, dtype=torch.float64)
    q, k, v = attention.qkv(attention.norm(x)).reshape(2, 3, HEADS, HEAD_DIM, 16).unbind(1)
    shares = k.softmax(3).transpose(2, 3) @ (q.softmax(2) * HEAD_DIM**-0.5)
    mixed = attention.out((v @ shares).reshape(2, -1, 4, 4))
    torch.testing.assert_close(attention(x), x + attention.out_norm(mixed))


@pytest.mark.parametrize("blur", [False, True])
def test_two_batches_judged_as_one_are_judged_as_each_by_itself(blur):
    torch.manual_seed(0)
    settings = DiscriminatorSettings(**SMALL, view_size=8, reconstruction_size=16, attention=(16,))
    discriminator = Discriminator(16, 1, settings, blur).double()
    real, fake = (torch.rand(n, 1, 16, 16, dtype=torch.float64) for n in (3, 2))
    first, second = discriminator(torch.cat([real, fake]), reconstruct=3).split(3)
    for found, expected in zip(first, discriminator(real, reconstruct=3), strict=True):
        torch.testing.assert_close(found, expected)
    alone = discriminator(fake)
    torch.testing.assert_close(second[:2], alone[:2])
    assert second.reconstruction is None


def test_channel_norm_is_layer_norm_over_channels():
    x = torch.randn(2, 6, 3, 3)
    expected = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-5)
    torch.testing.assert_close(ChanNorm(6)(x), expected.permute(0, 3, 1, 2))


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_discriminator_takes_every_size_with_two_logits_and_a_reconstruction(size, channels):
    settings = DiscriminatorSettings(**SMALL, view_size=8, reconstruction_size=32, attention=(16,))
    output = Discriminator(size, channels, settings)(torch.rand(2, channels, size, size), 2)
    assert output.logits.shape == output.view_logits.shape == (2,)
    assert output.reconstruction.shape == ()


@pytest.mark.parametrize("size", [64, 128, 256])
def test_lightgans_skip_excitation_is_the_published_one(size):
    """The map at 16 px gates the one at 128 px, the map at 32 px the one at 256 px."""
    torch.manual_seed(0)
    settings = GeneratorSettings(latent_dim=8, fmap_max=8, attention=())
    generator = Generator(size, 1, settings).double().eval()
    z = torch.randn(2, 8, dtype=torch.float64)
    x = F.glu(generator.start[1](generator.start[0](z[:, :, None, None])), dim=1)
    x, width, maps = F.normalize(x, dim=1), 4, {}
    for grow in generator.grow.values():
        x = F.pad(Blur().double()(F.interpolate(x, scale_factor=2)), (2, 1, 2, 1))
        x, width = F.glu(grow.norm(grow.conv(x)), dim=1), 2 * width
        maps[width] = x
        if width >= 128:
            small, parts = maps[width // 8], generator.excite[str(width.bit_length() - 4)]
            gated = torch.empty_like(x)
            for sample in range(2):
                places = [
                    small[sample, :, i, j] for i in range(width // 8) for j in range(width // 8)
                ]
                weight, bias = parts.to_weights.weight[0, :, 0, 0], parts.to_weights.bias
                shares = torch.stack([weight @ place + bias[0] for place in places]).exp()
                pooled = sum(
                    s * place for s, place in zip(shares / shares.sum(), places, strict=True)
                )
                first, last = parts.gate[0], parts.gate[2]
                assert first.out_channels == max(3, len(x[0]) // 2)
                hidden = first.weight[:, :, 0, 0] @ pooled + first.bias
                hidden = torch.where(hidden > 0, hidden, 0.1 * hidden)
                gate = 1 / (1 + (-(last.weight[:, :, 0, 0] @ hidden + last.bias)).exp())
                gated[sample] = x[sample] * gate[:, None, None]
            x = gated
    torch.testing.assert_close(generator(z), generator.to_image(x))


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


SHAPES = {
    "shifted": (2, 2, 3, 5, 4),
    "a row": (2, 1, 2, 1, 19),
    "one position": (1, 2, 2, 1, 1),
    "whole": (2, 3, 2, 3, 5),
    "rows": (2, 2, MANY, 5, 6),
    "rows of two": (1, 2, MANY + 1, 9, 2),
}
"""Maps (B, heads, D, H, W) for each way to compute them, and the borders of these."""


def shifts(maps: Tensor) -> Tensor:
    """The plain form: nine shifted copies (B, heads, 9, D, H, W) of maps with zeros around."""
    H, W = maps.shape[-2:]
    padded = F.pad(maps, (1, 1, 1, 1))
    return torch.stack(
        [padded[..., i : i + H, j : j + W] for i in range(3) for j in range(3)], dim=2
    )


def plain_correlate(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, :, None] * shifts(b)).sum(3)


def plain_gather(weights: Tensor, b: Tensor) -> Tensor:
    return (weights[:, :, :, None] * shifts(b)).sum(2)


def plain_scatter(weights: Tensor, b: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(
        plain_gather(weights, at := torch.zeros_like(b, requires_grad=True)), at, b
    )
    return found


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return plain_gather(plain_correlate(q, k).softmax(2), v)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return gather(correlate(q, k).softmax(2), v)


def normal(*shape: int, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(*shape, dtype=dtype)).requires_grad_()


def first_and_second(function, leaves: list[Tensor]) -> list[Tensor]:
    """Output, gradients and second derivatives along random directions."""
    draw = torch.Generator().manual_seed(1)
    made = function(*leaves)
    along = torch.randn(made.shape, generator=draw).to(made.dtype)
    slopes = torch.autograd.grad((made * along).sum(), leaves, create_graph=True)
    total = sum((s * torch.randn(s.shape, generator=draw).to(s.dtype)).sum() for s in slopes)
    return [made, *slopes, *torch.autograd.grad(total, leaves)]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("ours", "plain"),
    [(correlate, plain_correlate), (gather, plain_gather), (scatter, plain_scatter)],
    ids=["correlate", "gather", "scatter"],
)
def test_they_equal_shifted_copies(shape, ours, plain):
    torch.manual_seed(0)
    B, heads, _, H, W = shape
    first = normal(*shape) if ours is correlate else normal(B, heads, 9, H, W)
    leaves = [first, normal(*shape)]
    torch.testing.assert_close(ours(*leaves), plain(*leaves))
    assert torch.autograd.gradgradcheck(ours, leaves, fast_mode=True)
    assert torch.autograd.gradcheck(ours, leaves, fast_mode=True)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", ["normal", "large", "tiny", "one hot", "equal", "transposed"])
def test_attention_and_two_derivatives_agree_in_float32(shape, kind):
    """On inputs that overflow a naive softmax, vanish, stand out, tie, or lie askew in memory.

    To 1e-5, which is some rounding of sums, or as well as the plain form in float32: large scores
    have large rounding, and a softmax makes relative errors of it.
    """
    torch.manual_seed(0)
    scale = {"large": 30.0, "tiny": 1e-10}.get(kind, 1.0)
    leaves = [normal(*shape, dtype=torch.float32, scale=scale).detach() for _ in range(3)]
    if kind == "one hot":
        for leaf in leaves:
            leaf.zero_()[..., -1, 0] = 5.0
    if kind == "equal":
        leaves = [torch.ones(shape) for _ in leaves]
    if kind == "transposed":
        leaves = [leaf.transpose(0, 4).contiguous().transpose(0, 4) for leaf in leaves]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    for found, plain, expected in zip(
        first_and_second(attention, leaves),
        first_and_second(plain_attention, leaves),
        first_and_second(plain_attention, exact),
        strict=True,
    ):
        allowed = max(1e-5 * expected.norm(), 4 * (plain - expected).norm())
        assert (found - expected).norm() <= allowed


def test_only_what_is_asked_for_is_computed():
    q, k = torch.randn(1, 1, 2, 5, 5), torch.randn(1, 1, 2, 5, 5, requires_grad=True)
    correlate(q, k).sum().backward()
    assert q.grad is None
    assert k.grad is not None


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_attention_and_two_derivatives_work_in_bfloat16(shape):
    torch.manual_seed(0)
    leaves = [normal(*shape, dtype=torch.float32) for _ in range(3)]
    exact = first_and_second(attention, leaves)
    with torch.autocast("cpu", torch.bfloat16):
        cast = [leaf.detach().bfloat16().requires_grad_() for leaf in leaves]
        found = first_and_second(attention, cast)
    for x, expected in zip(found, exact, strict=True):
        # bfloat16 keeps 8 bits; second derivatives sum rounding of several products.
        assert (x.float() - expected).norm() <= 0.1 * expected.norm()
