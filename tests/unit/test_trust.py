"""A class that a file names is imported only if it is this project's, or was named by the user."""

import json
import os

import pytest
import torch
from conftest import fpa, fpa_ok, fpa_refused

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.core.registry import check_trusted, trust
from fpa.experiment.plan import Plan
from fpa.runs.generators import export, restore
from fpa.runs.run import build_model

STRANGER = """
from pathlib import Path
Path("executed").touch()
from baselines.dcgan.model import DCGAN
"""
"""A module that leaves a trace when it is imported."""


@pytest.fixture
def received(tiny, tmp_path, monkeypatch):
    """An export that names a class of a module beside it, in the working directory."""
    settings = {"latent_dim": 8, "width": 4}
    tiny["models"] = {"dcgan": {"class": "baselines.dcgan:DCGAN", "settings": settings}}
    (run,) = Plan(tiny).runs
    torch.manual_seed(0)
    export(build_model(run), run, "last", tmp_path)
    about = json.loads((tmp_path / "generator.json").read_text())
    about["run"]["model"]["class"] = "stranger:DCGAN"
    (tmp_path / "generator.json").write_text(json.dumps(about))
    (tmp_path / "stranger.py").write_text(STRANGER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_class_that_a_finished_run_or_a_plan_names_is_not_imported(received):
    run = json.loads((received / "generator.json").read_text())["run"]
    (received / "run").mkdir()
    (received / "run" / "train.json").write_text(json.dumps({"run": run, "digest": run["digest"]}))
    (received / "run.json").write_text(json.dumps(run))
    for words in (
        ("sample", "run", "--out", "s.npy"),
        ("export", "run", "--out", "e"),
        ("train", "run.json", "--store", "s"),
        ("cost", "run.json", "--out", "c.json"),
    ):
        done = fpa_refused(*words, cwd=received)
        assert "names the class stranger:DCGAN" in done.stderr
    assert not (received / "executed").exists()


def test_a_class_is_imported_where_the_command_names_it(received):
    words = ("sample", ".", "--count", "2", "--out", "samples.npy", "--device", "cpu")
    assert fpa(*words, cwd=received).returncode == 1
    fpa_ok(*words, "--trust-class", "stranger:DCGAN", cwd=received)
    assert (received / "executed").exists()
    # One command only.
    assert fpa(*words, cwd=received).returncode == 1


def test_a_configurations_own_classes_are_trusted_in_the_jobs_it_starts(tiny, tmp_path):
    tiny["models"] = {
        "mine": {"class": "baselines.dcgan.model:DCGAN", "settings": {"latent_dim": 8, "width": 4}}
    }
    Plan(tiny)
    assert os.environ["FPA_TRUSTED"] == "baselines.dcgan.model:DCGAN"


def test_only_this_projects_packages_may_be_named(tmp_path, monkeypatch):
    for name in ("fpa.models:FPA", "baselines.dcgan:DCGAN"):
        check_trusted(name, "x")
    for name in ("os:system", "fpax.models:FPA", ".fpa:X", "builtins:eval", "fpa_models:FPA"):
        with pytest.raises(UserError, match="x names the class"):
            check_trusted(name, "x")
    for name in (
        "",
        "fpa",
        "fpa.models:",
        "a:B; rm -rf .",
        "a:B\nc:D",
        "a:$(touch canary)",
        "../a:B",
    ):
        with pytest.raises(UserError, match=r"^x names no class as") as refused:
            check_trusted(name, "x")
        assert len(str(refused.value).splitlines()) == 1
    trust(["stranger:A", "other:B"])
    check_trusted("other:B", "x")
    with pytest.raises(UserError):
        check_trusted("other:C", "x")


def test_a_package_of_the_same_name_beside_an_export_is_not_this_projects(tmp_path, monkeypatch):
    import sys

    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "__init__.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "baselines"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match="not of this project"):
        check_trusted("baselines.dcgan:DCGAN", "x")
    assert not (tmp_path / "executed").exists()


def test_weights_must_have_the_names_shapes_and_types_of_the_generator(received):
    import safetensors.torch

    about = json.loads((received / "generator.json").read_text())
    about["run"]["model"]["class"] = "baselines.dcgan:DCGAN"
    path = received / "generator.safetensors"
    whole = safetensors.torch.load(path.read_bytes())
    name = next(key for key, value in whole.items() if value.ndim == 4)
    for change, message in (
        ({name: whole[name].half()}, "is torch.float16"),
        ({name: whole[name][:1]}, "expected torch.float32"),
        ({"extra": torch.zeros(1)}, "it has no extra"),
    ):
        path.write_bytes(safetensors.torch.save({**whole, **change}))
        about["weights_sha256"] = file_digest(path)
        (received / "generator.json").write_text(json.dumps(about))
        with pytest.raises(UserError, match=message):
            restore(received)
