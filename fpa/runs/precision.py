"""Which operations of a training may be less exact than float32, for speed.

None by default, as in the official code of StyleGAN2-ADA. torch's own default lets cuDNN use TF32
(10 bits of mantissa in place of 23) for convolutions and LSTMs on recent GPUs.
"""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from fpa.core.errors import UserError, did_you_mean

TF32 = ("tf32_matmul", "tf32_convolution", "tf32_lstm")
AUTOCAST = "autocast_bfloat16"
CHOICES = (*TF32, AUTOCAST)


def allow(names: Collection[str]) -> None:
    """Let this process use TF32 on a GPU for what is named, and for nothing else.

    UserError for an unknown name, and for what this version of torch cannot tell apart.
    """
    for name in names:
        if name not in CHOICES:
            known = did_you_mean(name, list(CHOICES))
            raise UserError(
                f"precision: there is no '{name}'{known}; expected {', '.join(CHOICES)}"
            )
    on = {name: name in names for name in TF32}
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    each = hasattr(cudnn, "rnn")  # before torch 2.9 one switch served both of cuDNN's
    if not each and on["tf32_convolution"] != on["tf32_lstm"]:
        raise UserError(
            f"torch {torch.__version__} switches TF32 of convolutions and LSTMs together; name "
            "tf32_convolution and tf32_lstm both, or neither, or install torch 2.9 or newer"
        )
    # The older switches first: torch raises where they are read (torch.export reads them) and differ.
    matmul.allow_tf32 = on["tf32_matmul"]
    cudnn.allow_tf32 = on["tf32_convolution"]
    if each:
        matmul.fp32_precision = _name(on["tf32_matmul"])
        cudnn.conv.fp32_precision = _name(on["tf32_convolution"])
        cudnn.rnn.fp32_precision = _name(on["tf32_lstm"])


def allowed() -> list[str]:
    """What this process may use TF32 for: the inverse of `allow`."""
    cudnn: Any = torch.backends.cudnn
    if not hasattr(cudnn, "rnn"):
        on = (torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.allow_tf32)
    else:
        parts = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
        on = tuple(part.fp32_precision == "tf32" for part in parts)
    return [name for name, is_on in zip(TF32, on, strict=True) if is_on]


def in_force(names: Collection[str]) -> list[str]:
    """All that is less exact in a training that was given these names, for its record."""
    return [*allowed(), *([AUTOCAST] if AUTOCAST in names else [])]


def casting(names: Collection[str], device: torch.device) -> AbstractContextManager[object]:
    """The context that training steps run in: torch.autocast to bfloat16 if it is named."""
    if AUTOCAST in names:
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def exact() -> Iterator[None]:
    """A block in which this process uses TF32 for nothing, such as a quick score."""
    before = allowed()
    allow(())
    try:
        yield
    finally:
        allow(before)


def _name(tf32: bool) -> str:
    return "tf32" if tf32 else "ieee"
