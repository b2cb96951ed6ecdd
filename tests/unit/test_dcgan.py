"""The example of a model of one's own, and what a class that breaks the contract is told."""

import re
import sys

import pytest
import torch
from conftest import ROOT, TINY, environment, snakemake

from baselines.dcgan import DCGAN
from fpa.core.errors import UserError
from fpa.models import loading


def build(size: int = 16, channels: int = 1) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(image_size=size, channels=channels, latent_dim=8, width=4)


@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_makes_and_judges_images_of_every_size(size, channels):
    model = build(size, channels)
    loading.check_images(model, "dcgan", size, channels)
    losses = model.step(torch.rand(4, channels, size, size))
    assert set(losses) == {"d_loss", "g_loss"}
    made = model.ema(torch.randn(2, 8))
    assert 0 <= made.min() <= made.max() <= 1


BROKEN = {
    "self.latent_dim = '8'": "latent_dim is str, expected a number > 0",
    "self.ema = None": "ema is NoneType, expected a torch.nn.Module",
    "self.networks = {'generator': self.generator}": "networks is dict, expected a dictionary of",
    "self.ema.append(torch.nn.AvgPool2d(2))": r"makes \(2, 1, 8, 8\) of latents \(2, 8\), expected "
    r"images \(2, 1, 16, 16\)",
    "self.latent_dim = 5": r"its EMA generator fails on latents \(2, 5\)",
}
MINE = """
import torch
from baselines.dcgan import DCGAN

class Mine(DCGAN):
    def __init__(self, *, image_size: int, channels: int):
        super().__init__(image_size=image_size, channels=channels, latent_dim=8, width=4)
        %s
"""


@pytest.mark.parametrize("change", list(BROKEN))
def test_a_class_that_breaks_the_interface_is_told_which_part(tmp_path, monkeypatch, change):
    (tmp_path / "broken.py").write_text(MINE % change)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=BROKEN[change]):
        loading.check_images(loading.build("broken:Mine", {}, 16, 1), "broken:Mine", 16, 1)
    sys.modules.pop("broken", None)


def test_a_class_without_a_method_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "lacking.py").write_text("class Mine:\n    def step(self, real): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="'lacking:Mine' is not a model: it has no to, state_dict"):
        loading.find_model("lacking:Mine", "models.mine.class")
    sys.modules.pop("lacking", None)


@pytest.mark.slow
def test_a_broken_class_stops_the_workflow_before_anything_runs(tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text(
        "from baselines.dcgan import DCGAN\n"
        "class Mine(DCGAN):\n"
        "    def __init__(self, *, image_size: int, channels: int):\n"
        "        super().__init__(image_size=2 * image_size, channels=channels, width=4)\n"
    )
    ours = {**environment(), "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    monkeypatch.setattr("conftest.environment", lambda: ours)
    config = {**TINY, "models": {"mine": {"class": "half:Mine"}}}
    done = snakemake(config, tmp_path)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "expected images (2, 1, 16, 16)" in line]
    assert len(said) == 1, done.stderr
    assert re.search(r"makes \(2, 1, 32, 32\)", said[0])
    assert not (tmp_path / "results").exists()
