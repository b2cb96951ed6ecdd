"""Large libraries are imported when they are used, and not before."""

import subprocess
import sys

from conftest import ROOT


def test_a_library_is_imported_by_the_first_use_of_its_names():
    code = """
import sys
from fpa.core.lazy import F, linalg, mpl, pd, plt, sns, stats, torch

heavy = ("matplotlib", "pandas", "scipy", "seaborn", "torch")
assert not [name for name in heavy if name in sys.modules]
assert pd.DataFrame({"a": [1, 2]}).a.sum() == 3
assert "pandas" in sys.modules and "torch" not in sys.modules
assert F.relu(torch.tensor(-1.0)).item() == 0
assert linalg.norm([3, 4]) == 5
import torch as real
assert torch.Tensor is real.Tensor
try:
    torch.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
