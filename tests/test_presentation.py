"""Tables and figures from made-up scores and arrays."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import environment

from fpa.painter import Painter, PainterSettings
from fpa.painter import step_pictures as torch_step_pictures
from fpa.presentation import figures, tables, theme
from fpa.presentation.tiles import tile


def score(model: str, seed: int, fid: float, dataset: str = "digits", **more) -> dict:
    return {
        "dataset": dataset,
        "resolution": 16,
        "model": model,
        "seed": seed,
        "run": f"{model}{seed}" + "0" * 60,
        "fid": fid,
        "kid": fid / 1000,
        "extractor": "efficientnet_lite0-96px",
        "protocol": "clean-uint8",
        "n_real": 1797,
        "n_fake": 2000,
        "kimg": 100.0,
        "generator_parameters": 12345,
        **more,
    }


@pytest.fixture
def frame():
    scores = [score("fpa", 0, 10), score("fpa", 1, 14), score("light_gan", 0, 7)]
    return tables.fid_frame([*scores, score("fpa", 0, 99, dataset="cats")], "digits")


def test_seeds_become_mean_and_standard_deviation(frame):
    row = frame.iloc[0]
    assert (row["fid"], row["n_seeds"], row["kimg"]) == (12, 2, 100)
    assert row["fid_std"] == pytest.approx(8**0.5)
    assert row["kid"] == pytest.approx(0.012)
    assert row["runs"] == "fpa0000000 fpa1000000"
    assert np.isnan(frame.iloc[1]["fid_std"])


def test_columns_are_those_that_are_promised(frame):
    assert (
        list(frame.columns)
        == (
            "dataset resolution model fid fid_std kid kid_std n_seeds extractor protocol "
            "n_real n_fake kimg generator_parameters experiment runs"
        ).split()
    )


def test_markdown_has_models_down_and_data_sets_across(frame):
    shown = tables.paper_layout(frame, {"fpa": "FPA", "light_gan": "LightGAN"})
    text = tables.to_markdown(shown, tables.caption(frame))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["Model", "digits 16 px", "cats 16 px"]
    assert cells[2] == ["FPA", "12.00 ± 2.83 (12.00 ± 2.83)", "99.00 (99.00)"]
    assert cells[3] == ["LightGAN", "7.00 (7.00)", "—"]


def test_only_inception_features_are_called_fid(frame):
    assert "efficientnet_lite0-96px features (not an Inception FID)" in tables.caption(frame)
    assert tables.caption(frame.assign(extractor="inception_v3")).startswith("FID (Inception-v3")


def test_latex_escapes_and_closes_what_it_opens(frame):
    text = tables.to_latex(tables.paper_layout(frame, {}), tables.caption(frame))
    assert r"light\_gan" in text
    assert r"$\pm$" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert not set("é±—") & set(text)


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    painter = Painter(16, 3, PainterSettings(steps=5, latent_dim=4, hidden_size=8))
    painting = painter.paint(torch.randn(2, 4))
    arrays = {k: getattr(painting, k) for k in ("image", "keys", "values", "rates", "writes")}
    arrays = {k: v.detach().numpy() for k, v in arrays.items()}
    arrays |= {"painted": arrays["image"], "tanh": np.array(True)}
    return painting, arrays


def test_step_pictures_from_saved_strokes_equal_the_painters_own(parts):
    painting, arrays = parts
    for ours, theirs in zip(
        figures.step_pictures(arrays), torch_step_pictures(painting, tanh=True), strict=True
    ):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5)


def history(n: int = 4) -> pd.DataFrame:
    x = np.arange(1.0, n + 1)
    columns = ("kimg", "d_loss", "g_loss", "reconstruction", "fid")
    return pd.DataFrame(dict.fromkeys(columns, x))


def draw(kind: str, arrays: dict):
    theme.use_theme()
    images = np.zeros((9, 1, 16, 16), np.uint8)
    return {
        "painting": lambda: figures.painting_strips(arrays, 2, 4),
        "refined": lambda: figures.before_after(arrays, 2),
        "samples": lambda: figures.sample_grids({"real": images, "FPA": images}, 9),
        "curves": lambda: figures.training_curves([("fpa", history())], {"fpa": "FPA"}, "e"),
    }[kind]()


@pytest.mark.parametrize("kind", ["painting", "refined", "samples", "curves"])
def test_figures_come_out_byte_identical_as_png_and_pdf(kind, parts, tmp_path):
    for folder in ("one", "two"):
        theme.save_figure(draw(kind, parts[1]), tmp_path / folder / "x")
    for suffix in ("png", "pdf"):
        one, two = ((tmp_path / f / f"x.{suffix}").read_bytes() for f in ("one", "two"))
        assert one == two
        assert len(one) > 1000


def test_a_grid_shows_every_image_in_its_place():
    images = np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1, 1).repeat(2, 2).repeat(2, 3)
    sheet = tile(images, 3)
    assert sheet.shape == (1, 5, 8)
    assert sheet[0, ::3, ::3].tolist() == [[1, 2, 3], [4, 5, 255]]


def test_strips_show_the_first_and_the_last_step(parts):
    theme.use_theme()
    figure = figures.painting_strips(parts[1], 1, 3)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["1", "3", "5"]


def test_each_model_keeps_its_colour():
    models = ["a", "b", "c"]
    assert theme.model_colours(models) == theme.model_colours(models)
    assert len(set(theme.model_colours(models).values())) == 3


def test_drawing_imports_no_torch():
    code = "import fpa.presentation.figures, fpa.presentation.tables, sys; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr
