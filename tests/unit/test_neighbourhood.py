"""The products with 3 x 3 neighbourhoods against shifted copies, and their derivatives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fpa.models.neighbourhood import MANY, correlate, gather, scatter

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
