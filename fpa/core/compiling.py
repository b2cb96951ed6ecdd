"""Networks that `runtime.compile` compiled, where only torch as it is can differentiate them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn


def uncompiled(*networks: nn.Module) -> AbstractContextManager[object]:
    """A context for passes that are differentiated twice, as a penalty on a slope asks for.

    torch.compile offers first derivatives alone, and CUDA graphs likewise.
    """
    if all(network._compiled_call_impl is None for network in networks):
        # Nothing to switch off; torch's compiler takes seconds to import.
        return nullcontext()
    return torch.compiler.set_stance("force_eager")
