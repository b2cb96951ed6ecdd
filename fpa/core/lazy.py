"""Large libraries, imported when one of their names is first used.

Planning an experiment, a table or `--help` should answer at once, and most calls need only one of these
libraries or none. A module writes `from fpa.core.lazy import pd` in place of `import pandas as pd`, and uses
it as usual inside its functions. Type checkers see the library itself. What needs a class of the library
when it is imported, such as a subclass of `torch.nn.Module`, imports the library.

Python 3.15 brings this as `lazy import` (PEP 810); when it is the oldest Python supported, this module goes.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class LazyModule(ModuleType):
    """Stands for a module, and imports it for the first of its names that is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:
    import matplotlib as mpl
    import numpy as np
    import pandas as pd
    import safetensors.torch as safetensors_torch
    import scipy.linalg as linalg
    import scipy.stats as stats
    import seaborn as sns
    import sklearn.datasets as sklearn_datasets
    import torch
    from matplotlib import pyplot as plt
    from torch.nn import functional as F
else:
    mpl = LazyModule("matplotlib")
    np = LazyModule("numpy")
    plt = LazyModule("matplotlib.pyplot")
    pd = LazyModule("pandas")
    safetensors_torch = LazyModule("safetensors.torch")
    sns = LazyModule("seaborn")
    sklearn_datasets = LazyModule("sklearn.datasets")
    linalg = LazyModule("scipy.linalg")
    stats = LazyModule("scipy.stats")
    torch = LazyModule("torch")
    F = LazyModule("torch.nn.functional")
