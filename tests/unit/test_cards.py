"""An exported generator by itself: its card says what it is, and its lines load it."""

import json
import re

import made_up
import pytest
import torch
import yaml
from conftest import TINY, finished, fpa_ok, planned
from PIL import Image

from fpa.core.errors import UserError
from fpa.core.files import file_digest, read_json, write_json
from fpa.evaluation.sampling import sample
from fpa.experiment.plan import Plan
from fpa.reporting.model_card import export_run, scores_of
from fpa.reporting.player import read_live
from fpa.runs.generators import (
    ONNX_PACKAGES,
    ONNX_TOLERANCE,
    export,
    export_onnx,
    painting_steps,
    restore,
)
from fpa.runs.run import build_model

SCORE = made_up.entry(
    *("fpa", 0, {"fid": (12.345, 0.5), "kid": 0.0123, "fid_torch_fidelity": 12.3}),
    **{"run": "ab" * 32, "protocol": "small", "checkpoint": "last", "n_fake": 32},
    extractor="efficientnet_lite0-32px",
)


MODELS = {
    **TINY["models"],
    "dcgan": {"class": "baselines.dcgan:DCGAN", "settings": {"latent_dim": 8, "width": 4}},
}


@pytest.fixture
def run_folder(tiny, tmp_path):
    """A finished run that was never trained, with a score of its last checkpoint."""
    folder = tmp_path / "run"
    torch.manual_seed(0)
    finished(planned(tiny, "fpa"), folder)
    write_json(folder / "score-small-0123456789.json", SCORE)
    return folder


def card_of(folder):
    """Front matter and body."""
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_three_lines_of_a_card_load_the_exported_generator(run_folder, tmp_path, monkeypatch):
    fpa_ok("export", run_folder, "--out", "my-painter", "--licence", "CC-BY-4.0", cwd=tmp_path)
    names = {path.name for path in (tmp_path / "my-painter").iterdir()}
    assert names == {"generator.safetensors", "generator.json", "README.md", "samples.png"}
    front, body = card_of(tmp_path / "my-painter")
    (code,) = re.findall(r"```python\n(.*?)```", body, flags=re.S)
    lines = [line for line in code.splitlines() if line]
    assert len(lines) == 3
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(code, found)
    model = restore(run_folder)
    expected = sample(model.ema, model.latent_dim, 64, 0, torch.device("cpu"))
    assert (found["images"] == expected).all()
    assert front["license"] == "CC-BY-4.0"
    with Image.open(tmp_path / "my-painter" / "samples.png") as picture:
        assert picture.width > 8 * 16


@pytest.mark.parametrize("name", list(MODELS))
def test_an_export_samples_what_its_model_does(name, tiny, tmp_path):
    tiny["models"] = MODELS
    run = planned(tiny, name)
    torch.manual_seed(0)
    model = build_model(run)
    export(model, run, "last", tmp_path)
    one, two = (
        sample(each.ema.eval(), each.latent_dim, 3, 0, torch.device("cpu"))
        for each in (model, restore(tmp_path))
    )
    assert (one == two).all()


def test_a_card_states_data_licence_training_and_scores(run_folder, tmp_path):
    export_run(run_folder, "last", tmp_path / "out")
    front, body = card_of(tmp_path / "out")
    for words in (
        "Licence of the data: CC BY 4.0",
        "1,797 images, resized to 16 px (bicubic), grey",
        f"digest `{'ab' * 32}`",
        "seed 0",
        "Not comparable with Inception's FID",
        "32 samples against 1,797 real images",
    ):
        assert words in body, words
    assert re.search(r"\| Fréchet distance +\| +12\.35 ± 0\.50 \| +lower \|", body)
    assert re.search(r"\| KID x 1000 +\| +12\.30 \|", body)
    assert read_json(tmp_path / "out" / "generator.json")["versions"]["fpa"] in body
    # No licence was chosen for the weights, and no hub compares this distance with FIDs.
    assert "license" not in front
    (result,) = front["model-index"][0]["results"]
    assert [metric["type"] for metric in result["metrics"]] == ["frechet_distance", "kid"]
    for name, digest in re.findall(r"- `([\w.]+)`: SHA-256 `(\w+)`", body):
        assert file_digest(tmp_path / "out" / name) == digest


def test_a_card_has_no_scores_of_another_checkpoint(run_folder, tmp_path):
    write_json(run_folder / "score-small-0123456789.json", {**SCORE, "checkpoint": "best"})
    export_run(run_folder, "last", tmp_path / "out")
    front, body = card_of(tmp_path / "out")
    assert "The last checkpoint has not been scored." in body
    assert "model-index" not in front
    assert [score.checkpoint for score in scores_of(run_folder, "best")] == ["best"]


def test_names_in_a_card_are_text(run_folder, tmp_path):
    summary = json.loads((run_folder / "train.json").read_text())
    summary["run"]["model"]["name"] = "x\n---\n<script>alert(1)</script>"
    write_json(run_folder / "train.json", summary)
    export_run(run_folder, "last", tmp_path / "out")
    front, body = card_of(tmp_path / "out")
    assert "<script>" not in body
    assert front["library_name"] == "fpa"


def test_the_steps_of_a_painting_end_with_its_image(tiny):
    torch.manual_seed(0)
    painter = build_model(planned(tiny, "fpa")).ema.eval()
    z = torch.randn(3, 8)
    found = painting_steps(painter, z)
    assert found.shape == (3, 4, 1, 16, 16)
    # Summed in another order than in the forward pass.
    torch.testing.assert_close(found[:, -1], painter(z), atol=1e-5, rtol=1e-4)
    output = painter.paint(z).rule_output
    first = torch.einsum("bci,bcj->bcij", output.left[:, :, 0], output.right[:, :, 0])
    torch.testing.assert_close(found[:, 0], first.tanh(), atol=1e-6, rtol=1e-5)


def test_onnx_without_its_packages_names_them(tiny, tmp_path, monkeypatch):
    model = build_model(Plan(tiny).runs[0])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnx onnxscript onnxruntime"):
        export_onnx(model, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fpa", "fpa_unet", "residual"])
def test_onnx_paints_what_pytorch_does(tiny, tmp_path, name):
    for package in ONNX_PACKAGES:
        pytest.importorskip(package)
    import onnxruntime

    refined = tiny["models"]["fpa_unet"]
    unet = {**refined["settings"]["unet"], "residual": True}
    tiny["models"]["residual"] = {**refined, "settings": {**refined["settings"], "unet": unet}}
    torch.manual_seed(0)
    model = build_model(planned(tiny, name))
    if name == "residual":
        torch.nn.init.normal_(model.ema.unet.to_image.weight, std=0.1)
    assert export_onnx(model, tmp_path / "generator.onnx") <= ONNX_TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx")
    # One latent, though the graph was traced with several.
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(1))
    image, shown = session.run(["image", "steps"], {"latent": z.numpy()})
    generator = model.ema.eval()
    painter = generator if name == "fpa" else generator.painter
    torch.testing.assert_close(torch.tensor(image), generator(z).detach(), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.tensor(shown[:, -1]), painter(z).detach(), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_generator_that_draws_noise_is_refused(tiny, tmp_path):
    for package in ONNX_PACKAGES:
        pytest.importorskip(package)

    class Noise(torch.nn.Module):
        def forward(self, z):
            return z[:, :1, None, None] + torch.randn_like(z)[:, :1, None, None]

    model = build_model(next(run for run in Plan(tiny).runs))
    model.ema = Noise()
    with pytest.raises(UserError, match="differs from PyTorch"):
        export_onnx(model, tmp_path / "generator.onnx")
    assert not list(tmp_path.iterdir())


def test_the_pages_painter_is_written_on_request(run_folder, tmp_path):
    fpa_ok("export", run_folder, "--out", "out", "--page", cwd=tmp_path)
    about, weights = read_live(tmp_path / "out/painter.safetensors")
    assert about["left_out"] is None
    assert len(weights) > 1000
    assert "`painter.safetensors`: SHA-256" in (tmp_path / "out/README.md").read_text()


def test_a_model_that_the_page_cannot_run_is_not_written_for_it(tiny, tmp_path, monkeypatch):
    finished(planned(tiny, "lightgan"), tmp_path)
    with pytest.raises(UserError, match=r"not a painter of .*; leave --page out"):
        export_run(tmp_path, "last", tmp_path / "out", page=True)
    assert not list((tmp_path / "out").iterdir())


def test_the_card_of_an_imported_checkpoint_says_what_is_not_recorded(run_folder, tmp_path):
    summary = read_json(run_folder / "train.json")
    for name in ("hardware", "seconds_of_last_attempt", "precision"):
        del summary[name]
    write_json(
        run_folder / "train.json",
        {**summary, "images_sha256": None, "official": {"model_type": "x", "sha256": "cd" * 32}},
    )
    export_run(run_folder, "last", tmp_path / "out")
    _, body = card_of(tmp_path / "out")
    assert f"Imported from a published checkpoint, SHA-256 `{'cd' * 32}`" in body
    assert "digest `not recorded`" in body
