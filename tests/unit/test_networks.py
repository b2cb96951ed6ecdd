"""Layers against slow loops, and the sizes that networks take."""

import pytest
import torch
import torch.nn.functional as F

from baselines.lightgan.model import Generator
from baselines.lightgan.settings import GeneratorSettings
from fpa.models.discriminator import Discriminator
from fpa.models.layers import Blur, ChanNorm, DualAttention
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
