"""Large libraries are imported when they are used, and not before."""

import json

import made_up
import numpy as np
import pytest
import yaml
from conftest import TINY, modules_loaded_by

USE = """
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


def test_a_library_is_imported_by_the_first_use_of_its_names():
    assert "torch" in modules_loaded_by(USE)


PLAN = """
import yaml
from fpa.workflow.workflow import Workflow
Workflow.start(yaml.safe_load(open("config.yaml")))
from fpa.experiment.experiment import Experiment
from fpa.reporting import bundle, tables
from fpa.reporting.figures import figures
assert figures(Experiment.read("results"))
"""
REGISTRIES = "import fpa.evaluation.extractors, fpa.evaluation.metrics, fpa.evaluation.protocols"
TABLES = """
from fpa.evaluation.scores import Score
from fpa.reporting.make import make_table
from fpa.reporting.results import Results
from pathlib import Path
scores = [Score.read(path) for path in Path("results").rglob("score-*.json")]
for kind in ("fid", "scores"):
    make_table(kind, Results(scores=scores), f"{kind}.csv")
"""
FEATURES = """
from fpa.evaluation import distances, features, memorisation, scores
both = scores.pair(features.load("f.npy"), features.load("f.npy"))
assert abs(distances.frechet_of(both.real.values, both.fake.values)) < 1e-9
memorisation.search(both.real.values, both.fake.values, both.real.values, both.real.values, 2)
"""
SHAPES = """
from fpa.models import loading
with loading.shapes_only():
    for name in ("fpa.models:FPA", "baselines.lightgan:LightGAN", "baselines.stylegan2_ada:StyleGAN2ADA"):
        loading.build(name, {}, 32, 3)
"""
STATUS = """
from fpa.cli import main
main(["status", "results"])
main(["status", "results", "--html", "x.html"])
"""
VERBS = """
from fpa.cli import main
for words in ("--help", "plan --help", "score --help", "train no --store no", "checklist no", "verify no"):
    try:
        main(words.split())
    except SystemExit:
        pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration, the made-up results of another one, and features."""
    place = tmp_path_factory.mktemp("lazy")
    made_up.fill(place, made_up.experiment(models=("fpa", "dcgan")))
    config = {**TINY, "results": "planned", "claims": None}
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    np.save(place / "f.npy", np.random.default_rng(0).normal(size=(20, 3)))
    (place / "f.json").write_text(json.dumps({"features": 3}))
    return place


SLOW = "torch scipy pandas matplotlib sklearn"


@pytest.mark.parametrize(
    ("code", "needed", "heavy"),
    [
        (PLAN, "", SLOW + " seaborn"),
        (REGISTRIES, "", "torch torch_fidelity scipy cleanfid numpy"),
        (TABLES, "pandas", "torch scipy sklearn matplotlib.pyplot"),
        (FEATURES, "sklearn", "torch torchvision torch_fidelity cleanfid"),
        (SHAPES, "torch", "torch._dynamo"),
        (STATUS, "fpa.reporting.status", "torch matplotlib pandas"),
        (VERBS, "", SLOW),
    ],
    ids="plan registries tables features shapes status verbs".split(),
)
def test_what_needs_no_large_library_imports_none(code, needed, heavy, folder):
    """Planning, help, mistakes, tables and what runs do: what users wait for answers at once."""
    loaded = modules_loaded_by(code, folder)
    assert {*needed.split()} <= loaded
    assert not {*heavy.split()} & loaded
