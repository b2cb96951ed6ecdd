"""An exported generator is the one of its run, whatever the class."""

import pytest
import torch
from conftest import TINY

from fpa.evaluation.sampling import sample
from fpa.experiment.plan import Plan
from fpa.runs.generators import export, restore
from fpa.runs.run import build_model

MODELS = {
    **TINY["models"],
    "dcgan": {"class": "baselines.dcgan:DCGAN", "settings": {"latent_dim": 8, "width": 4}},
}


@pytest.mark.parametrize("name", list(MODELS))
def test_an_export_samples_what_its_model_does(name, tiny, tmp_path):
    tiny["models"] = MODELS
    (run,) = (run for run in Plan(tiny).runs if run.model.name == name)
    torch.manual_seed(0)
    model = build_model(run)
    export(model, run, "last", tmp_path)
    found = restore(tmp_path)

    def images(one):
        return sample(one.ema.eval(), one.latent_dim, 3, 0, torch.device("cpu"))

    assert (images(found) == images(model)).all()
