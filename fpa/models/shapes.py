"""Networks with shapes and no numbers, to be asked or checked before any memory is taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

IN_PLACE = {Tensor.normal_, Tensor.uniform_}
MAKERS = {torch.randn, torch.rand}


class _Undrawn(TorchFunctionMode):
    """Leaves out the numbers that parameters start from. For shapes, torch draws none but loads its
    compiler, for 1.4 s."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in IN_PLACE or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return torch.empty(*args, **kwargs) if func in MAKERS else func(*args, **kwargs)


@contextmanager
def shapes_only() -> Iterator[None]:
    """A block that builds networks on torch's meta device, without the numbers that they start from."""
    with torch.device("meta"), _Undrawn():
        yield
