"""Digests and outputs that only change together with a version.

    make golden        writes what this code computes to tests/data/golden.json

Digests of the experiments on digits and the paper's are compared exactly. Of each stage a small output
is summed up in a few numbers, which other machines reproduce to rounding; a number that differs by
more means that the stage computes something else, and wants its number in fpa/core/provenance.py (or
its class's version) raised.
"""

import copy
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, TINY

from fpa.core.provenance import STAGES
from fpa.data.prepare import prepare
from fpa.data.sampler import EpochSampler
from fpa.data.store import open_store
from fpa.evaluation import features, sampling, scores
from fpa.evaluation.extractors import obtain
from fpa.evaluation.protocols import Space
from fpa.evaluation.scores import Settings
from fpa.experiment.config import read_config
from fpa.experiment.plan import Plan
from fpa.models.interface import Model
from fpa.models.loading import build, find_model, resolve_settings
from fpa.training.loop import Training

GOLDEN = Path(__file__).parents[1] / "data" / "golden.json"
MODELS = {
    **TINY["models"],
    "stylegan2_ada": {
        "class": "baselines.stylegan2_ada:StyleGAN2ADA",
        "settings": {
            "preset": "cifar",
            "networks": {"latent_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8},
        },
    },
    "dcgan": {"class": "baselines.dcgan:DCGAN", "settings": {"width": 4, "latent_dim": 8}},
}


def built(name: str) -> Model:
    """One of them, new, for grey images of 16 px."""
    base = None
    if name == "fpa_unet":
        found = find_model(MODELS["fpa"]["class"], "")
        base = resolve_settings(found, MODELS["fpa"]["settings"], "")
    torch.manual_seed(0)
    return build(MODELS[name]["class"], MODELS[name]["settings"], 16, 1, base)


STEPS = 3
MEASURED = ["fid", "fid_infinity", "kid", "precision", "recall"]
SPACE = Space("efficientnet_lite0-32px", "clean", "array")


def digests() -> dict[str, str]:
    """Digests of every run of the default experiment, of the same with more seeds, and of the paper's."""
    found = {}
    for name in ("config.yaml", "experiments/digits-seeds.yaml", "experiments/paper.yaml"):
        path = ROOT / name
        experiment = Plan({**read_config(path), "results": "somewhere/else"})
        for run in experiment.all_runs():
            place = f"{experiment.name} {run.dataset.name} {run.model.name} {run.seed}"
            found[place] = run.digest
        for protocol in experiment.protocols:
            found[f"{experiment.name} {protocol}"] = experiment.score_file(protocol)
    return found


def versions() -> dict[str, int]:
    """Every version that may be raised."""
    classes = {model["class"]: find_model(model["class"], "").version for model in MODELS.values()}
    return {**STAGES, **classes}


def numbers(values: np.ndarray) -> list[float]:
    """An array in four numbers."""
    values = np.asarray(values, np.float64).ravel()
    ramp = np.cos(np.arange(values.size))
    return [float(x) for x in (values.mean(), values.std(), np.abs(values).max(), ramp @ values)]


def outputs(folder: Path) -> dict[str, list[float]]:
    """A small output of every stage."""
    torch.set_num_threads(1)
    config = copy.deepcopy({**TINY, "models": MODELS, "data": str(folder)})
    config["training"] |= {"kimg": STEPS * 0.008, "watch_kimg": 0}
    config["models"]["fpa_unet"]["settings"]["start"] = {"checkpoint": "last"}
    config["evaluation"]["checkpoint"] = "last"
    experiment = Plan({**config, "results": "somewhere/else"})
    prepare(experiment.datasets["digits"], folder / "store")
    images, manifest = open_store(folder / "store")
    found = {"prepare": numbers(images)}
    weights: dict[str, dict] = {}
    for run in experiment.runs:
        feed = EpochSampler(images, 8, run.seed)
        base = weights["fpa"] if run.base else None
        training = Training(
            run, feed, manifest.images_sha256, torch.device("cpu"), 100, base_weights=base
        )
        while training.step < training.steps:
            training.advance()
        weights[run.model.name] = training.weights()
        made = [v.double().flatten() for v in weights[run.model.name]["generator"].values()]
        found[f"train {run.model.class_}"] = numbers(torch.cat(made).numpy())
        if run.model.name == "fpa":
            # Weights that a short training leaves are almost those that it began with: the
            # generator's own sample shows more.
            model = training.model
            fake = sampling.sample(model.generator.eval(), model.latent_dim, 40, 0, training.device)
            found["sample"] = numbers(fake)
    about = folder / "extractors" / "lite.json"
    obtain(SPACE.extractor, None, about)
    for name, chosen in (("real", images[:60]), ("fake", images[60:100])):
        features.compute(
            chosen, SPACE, about, torch.device("cpu"), folder / f"{name}.npy", {"images_sha256": ""}
        )
    real, fake = (features.load(folder / f"{name}.npy") for name in ("real", "fake"))
    found["features"] = numbers(real.values)
    # So few dimensions that these samples have a FID_infinity.
    few = [f._replace(values=np.asarray(f.values[:, :8])) for f in (real, fake)]
    settings = Settings(MEASURED, "symmetric", 5, 20, 4, 0)
    measured = scores.measure(scores.pair(*few), None, settings)
    found["score"] = [measured[name].value for name in MEASURED]
    return found


def golden() -> dict:
    return json.loads(GOLDEN.read_text())


def test_digests_change_only_with_a_version():
    expected = golden()
    found = digests()
    changed = sorted(
        place
        for place in {*found, *expected["digests"]}
        if found.get(place) != expected["digests"].get(place)
    )
    assert not changed or versions() != expected["versions"], (
        f"digests of {', '.join(changed[:3])} ... changed: everything would train again. If the "
        "experiment itself was changed on purpose, write the golden file anew"
    )
    assert not changed, "a version was raised: write the golden file anew"


@pytest.fixture(scope="module")
def computed(tmp_path_factory) -> dict[str, list[float]]:
    return outputs(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", list(golden()["outputs"]) if GOLDEN.exists() else [])
def test_outputs_change_only_with_a_version(computed, name):
    expected = golden()
    stage, _, model = name.partition(" ")
    of = model or stage
    assert versions()[of] == expected["versions"][of], "raised: write the golden file anew"
    np.testing.assert_allclose(
        computed[name],
        expected["outputs"][name],
        rtol=2e-3,
        atol=1e-5,
        err_msg=f"{stage} computes something else than before: raise the version of '{of}'",
    )


def test_the_golden_file_covers_every_stage_and_class():
    expected = golden()
    assert expected["versions"].keys() == versions().keys()
    covered = {name.partition(" ")[0] for name in expected["outputs"]}
    assert covered == set(STAGES)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        made = {
            "versions": versions(),
            "digests": digests(),
            "outputs": outputs(Path(scratch)),
        }
    GOLDEN.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
