"""Figures from made-up arrays: what they show, that they are reproducible, and what is missing."""

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import made_up
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from fpa.core.errors import UserError
from fpa.data.picture import tile
from fpa.evaluation import memorisation, run_artifacts, trace
from fpa.evaluation.metrics import drawn_metrics
from fpa.evaluation.sampling import sample
from fpa.experiment.plan import Plan
from fpa.models.painter import Painter
from fpa.models.settings import PainterSettings
from fpa.reporting import report
from fpa.reporting.bundle import contents
from fpa.reporting.figures import (
    FIGURES,
    Context,
    Spec,
    figures,
    paintings,
    register,
    scores,
    theme,
    training,
)
from fpa.reporting.figures.base import load_needed
from fpa.reporting.make import draw, draw_missing, make_report
from fpa.reporting.results import Results

PAPER = ("celeba", "lsun_church", "afhq_cat", "afhq_dog", "afhq_wild", "metfaces")


# Painting traces ----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[False, True], ids=["W_0 = 0", "W_0 learned"])
def painting(request):
    """A painter's trace of two paintings as it is saved, its updates and its partial images."""
    torch.manual_seed(0)
    settings = PainterSettings(steps=5, latent_dim=4, hidden_size=8, learned_initial=request.param)
    painter = Painter(16, 3, settings)
    if request.param:
        torch.nn.init.normal_(painter.initial, std=0.01)
    saved = {name: part.detach().numpy() for name, part in painter.trace(torch.randn(2, 4)).items()}
    left, right = saved["left"].astype("f8"), saved["right"].astype("f8")
    now = saved.get("initial", np.zeros((3, 16, 16))) + np.zeros((2, 1, 1, 1))
    updates, partial = np.empty((2, 2, 5, 3, 16, 16))
    for t in range(5):
        updates[:, t] = left[:, :, t, :, None] * right[:, :, t, None, :]
        partial[:, t] = now = now + updates[:, t]
    return {**saved, "image": saved["painted"]}, updates, partial


def test_step_pictures_have_the_norm_of_the_finished_image_and_end_with_it(painting):
    saved, *expected = painting
    size = np.linalg.norm(expected[1][:, -1].reshape(2, -1), axis=1)
    for found, matrices in zip(trace.step_pictures(saved), expected, strict=True):
        for n, t in itertools.product(range(2), range(5)):
            picture = np.tanh(matrices[n, t] / np.linalg.norm(matrices[n, t]) * size[n])
            np.testing.assert_allclose(found[n, t], picture, atol=1e-5)
    np.testing.assert_allclose(trace.step_pictures(saved)[1][:, -1], saved["image"], atol=1e-5)


def test_statistics_equal_a_slow_loop(painting):
    saved, updates, partial = painting
    found = trace.statistics(saved)
    for n, t in itertools.product(range(2), range(5)):
        final, now, update = partial[n, -1], partial[n, t], updates[n, t]
        size = np.linalg.norm(final)
        spectra = [np.linalg.svd(matrix, compute_uv=False) for matrix in now]
        last = [np.linalg.svd(matrix, compute_uv=False) for matrix in final]
        entropies = [-(s / s.sum() * np.log(s / s.sum() + 1e-30)).sum() for s in spectra]
        ranks = [np.linalg.matrix_rank(m, rtol=16 * np.finfo(np.float32).eps) for m in now]
        expected = {
            "rate": saved["rates"][n, :, t].mean(),
            "norm": np.linalg.norm(update) / size,
            "share": (update * final).sum() / size**2,
            "explained": 1 - (np.linalg.norm(final - now) / size) ** 2,
            "rank": np.mean(ranks),
            "effective_rank": np.mean(np.exp(entropies)),
            "spectrum": np.mean([s / end[0] for s, end in zip(spectra, last, strict=True)], axis=0),
        }
        for name, value in expected.items():
            # Both start from float32 sums, added up in another order.
            np.testing.assert_allclose(found[name][n, t], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_statistics_of_chunks_join_to_those_of_the_whole():
    whole = made_up.trace(4, 1, 3)
    halves = [
        {k: v if k == "tanh" else v[part] for k, v in whole.items()}
        for part in (slice(2), slice(2, 4))
    ]
    joined = trace.join(trace.statistics(half) for half in halves)
    for name, values in trace.statistics(whole).items():
        np.testing.assert_array_equal(joined[name], values)


# Latents and neighbours ---------------------------------------------------------------------


def test_latents_between_two_keep_their_length_and_start_and_end_there():
    start, end = torch.randn(2, 3, 64)
    end = end / end.norm(dim=1, keepdim=True) * start.norm(dim=1, keepdim=True)
    torch.testing.assert_close(run_artifacts.slerp(start, end, 0.0), start)
    torch.testing.assert_close(run_artifacts.slerp(start, end, 1.0), end)
    middle = run_artifacts.slerp(start, end, 0.5)
    torch.testing.assert_close(middle.norm(dim=1), start.norm(dim=1))
    torch.testing.assert_close(run_artifacts.slerp(start, start, 0.3), start)


def test_interpolations_go_from_sample_to_sample():
    torch.manual_seed(0)
    painter = Painter(16, 1, PainterSettings(steps=3, latent_dim=4, hidden_size=8)).eval()
    rows = run_artifacts.interpolations(
        SimpleNamespace(ema=painter, latent_dim=4), 2, 5, 7, torch.device("cpu")
    )
    samples = sample(painter, 4, 4, 7, torch.device("cpu"))
    assert rows.shape == (2, 5, 1, 16, 16)
    np.testing.assert_array_equal(rows[:, 0], samples[0::2])
    np.testing.assert_array_equal(rows[:, -1], samples[1::2])


@pytest.mark.parametrize("kind", ["npy", "npz", "bin"])
def test_what_a_new_artifacts_function_returns_becomes_its_file(kind, tmp_path):
    def make(model, count, frames, seed, device):
        values = np.arange(count * frames) + seed + model
        return {"npy": values, "npz": {"values": values}, "bin": bytes(values.tolist())}[kind]

    artifact = run_artifacts.RunArtifact("ramp", kind, make)
    path = tmp_path / artifact.file("last", 2, 3, seed=10)
    assert path.name == f"ramp-last-2x3-seed10.{kind}"
    assert artifact.file("best", 9, seed=3) == f"ramp-best-n9-seed3.{kind}"
    artifact.save(path, 100, (2, 3), 10, torch.device("cpu"))
    read = {
        "npy": np.load,
        "npz": lambda path: np.load(path)["values"],
        "bin": lambda path: np.frombuffer(path.read_bytes(), np.uint8),
    }
    np.testing.assert_array_equal(read[kind](path), np.arange(6) + 110)


def test_neighbours_are_the_nearest_training_images():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(30, 8)).astype("f4"), random.normal(size=(6, 8)).astype("f4")
    fake[2] = real[11]
    images = np.arange(30, dtype=np.uint8)[:, None, None, None]
    found = memorisation.search(real, fake, images, images[:6], 4)
    far = np.linalg.norm(fake[:, None] - real, axis=2)
    np.testing.assert_array_equal(found["nearest"][:, :, 0, 0, 0], far.argsort(axis=1)[:4, :2])
    np.testing.assert_allclose(found["distance"], far.min(axis=1), atol=1e-3)
    among = np.linalg.norm(real[:, None] - real, axis=2) + 1e9 * np.eye(30)
    np.testing.assert_allclose(found["real_distance"], among.min(axis=1), atol=1e-3)


# Which figures there are --------------------------------------------------------------------


def figures_of(**more) -> dict[str, Spec]:
    return figures(Plan(made_up.experiment(**more)).experiment)


def test_every_model_and_data_set_has_its_figures():
    names = figures_of(datasets=("cats", "dogs"))
    for dataset in ("cats", "dogs"):
        for name in ("painting", "keys", "dynamics"):
            assert f"{name}-{dataset}-fpa" in names
        for name in ("samples", "interpolation", "neighbours", "progress", "curves"):
            assert f"{name}-{dataset}" in names
        assert f"refined-{dataset}-fpa_unet" in names
        assert names[f"painting_{dataset}"].files == [f"figures/painting_{dataset}.gif"]
    assert {"steps", "scores"} < set(names)
    for spec in names.values():
        assert spec.caption.endswith(".")
        assert spec.category
        assert spec.labels["figure"]


def test_paintings_and_steps_are_chosen_by_configuration():
    config = made_up.experiment()
    config["figures"] |= {"strips": [1], "strip_steps": [1, 3, 6], "strip_columns": 2}
    spec = figures(Plan(config).experiment)["painting-digits-fpa"]
    assert spec.options == {"paintings": [1], "steps": [1, 3, 6], "columns": 2}
    config["figures"]["strips"] = [0, 2]
    with pytest.raises(UserError, match=r"no painting 2 .* among the 2"):
        Plan(config)


def test_shown_steps_are_spread_evenly_or_those_named():
    def shown(steps: int, wanted: int | list[int]) -> list[int]:
        return (paintings.chosen_steps(steps, wanted) + 1).tolist()

    assert shown(16, 16) == list(range(1, 17))
    assert (shown(5, 3), shown(4, 16)) == ([1, 3, 5], [1, 2, 3, 4])
    assert shown(16, [1, 2, 16, 64]) == [1, 2, 16]


# Drawing ------------------------------------------------------------------------------------


def drawn(name: str, specs: dict, results: Path) -> Figure:
    """An experiment's figure by its name."""
    theme.use_theme()
    return FIGURES[specs[name].kind].draw(specs[name], results)


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize(("steps", "lines"), [(16, 1), (64, 4)])
def test_strips_show_every_step_in_lines_of_sixteen(steps, lines):
    theme.use_theme()
    figure = paintings.painting_strips(made_up.trace(2, 3, steps), [0, 1], 64)
    assert len(figure.axes) == 2 * lines
    numbers = [text for text in texts(figure) if text.isdigit()]
    assert numbers == 2 * [str(step) for step in range(1, steps + 1)]


def test_a_strip_shows_the_updates_above_the_images():
    theme.use_theme()
    arrays = made_up.trace(1, 1, 3)
    figure = paintings.painting_strips(arrays, [0], 3)
    shown = figure.axes[0].images[0].get_array()
    updates, partial = (trace.to_uint8(p) for p in trace.step_pictures(arrays))
    for step in range(3):
        left = 17 * step
        np.testing.assert_array_equal(shown[:16, left : left + 16], updates[0, step, 0])
        np.testing.assert_array_equal(shown[17:, left : left + 16], partial[0, step, 0])


def test_strip_steps_that_no_painting_has_are_an_error():
    with pytest.raises(UserError, match=r"strip_steps: none of .* 3 steps"):
        paintings.painting_strips(made_up.trace(1, 1, 3), [0], [4, 5])


def test_a_grid_shows_every_image_in_its_place():
    images = np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1, 1).repeat(2, 2).repeat(2, 3)
    sheet = tile(images, 3)
    assert sheet.shape == (1, 5, 8)
    assert sheet[0, ::3, ::3].tolist() == [[1, 2, 3], [4, 5, 255]]
    close = tile(images, 3, gap=0, ground=0)
    assert close[0, ::2, ::2].tolist() == [[1, 2, 3], [4, 5, 0]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment with three models on one data set and two seeds."""
    return made_up.fill(tmp_path_factory.mktemp("made"), made_up.experiment(seeds=(0, 1)))


# Pictures of every kind are compared byte by byte as parts of pages, in test_report.py.
KINDS = "painting scores curves film".split()


@pytest.mark.parametrize("kind", KINDS)
def test_figures_come_out_byte_identical(kind, made, tmp_path):
    _, specs, results = made
    spec = next(spec for spec in specs.values() if spec.kind == kind)
    contents = []
    for _ in range(2):
        draw(spec, results)
        contents.append([(results / file).read_bytes() for file in spec.files])
    assert contents[0] == contents[1]
    assert all(len(content) > 1000 for content in contents[0])
    if "pdf" in spec.endings:
        # Text stays text: TrueType fonts are embedded.
        assert b"/FontFile2" in contents[0][1]


def test_an_animation_shows_each_step_and_stays_on_the_last(made):
    _, specs, results = made
    draw(specs["painting_digits"], results)
    with Image.open(results / "figures/painting_digits.gif") as gif:
        assert gif.n_frames == 6
        assert gif.info["loop"] == 0
        times = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            times.append(gif.info["duration"])
    assert times == 5 * [150] + [2000]


@pytest.fixture
def film(tmp_path):
    """The film of a small experiment's one model; its specification, its snapshots, the folder."""
    _, specs, results = made_up.fill(tmp_path, made_up.experiment(models=("dcgan",)))
    spec = specs["training_digits_dcgan"]
    history, snapshots = (results / part.path for part in spec.inputs)
    return spec, history, snapshots, results


def test_a_film_has_a_frame_for_each_snapshot(film):
    spec, _, snapshots, results = film
    draw(spec, results)
    assert spec.files == ["figures/training_digits_dcgan.gif"]
    shown = np.load(snapshots)["images"]
    with Image.open(results / spec.files[0]) as gif:
        assert gif.n_frames == len(shown) == 3
        for number, images in enumerate(shown):
            gif.seek(number)
            assert gif.info["duration"] == (3000 if number == 2 else 400)
            # Sixteen pixels, enlarged four times, with a gap: the middle of the first of them.
            pixels = np.asarray(gif.convert("RGB")).astype(int)
            found = pixels[2:64:4, 2:64:4].transpose(2, 0, 1)
            # GIF has 256 colours a frame: these images are noise, the worst case.
            assert np.abs(found - images[0]).mean() < 25
            assert np.abs(found - images[1]).mean() > 50


def test_a_film_is_drawn_of_what_there_is(film):
    spec, history, snapshots, results = film
    # Still in training: no history yet, and the film so far.
    history.unlink()
    draw(spec, results)
    with Image.open(results / spec.files[0]) as gif:
        assert gif.n_frames == 3
    snapshots.unlink()
    with pytest.raises(UserError, match="nothing to draw"):
        draw(spec, results)
    # Trained by a version that took no snapshots.
    history.write_text("step,kimg\n1,1\n")
    draw(spec, results)
    with Image.open(results / spec.files[0]) as gif:
        assert gif.n_frames == 1


@pytest.mark.parametrize(
    "wrong",
    [{"images": np.zeros((2, 3), np.uint8)}, {"kimg": np.zeros(9)}, {"fid": None}, 300, -40],
)
def test_a_damaged_film_or_one_of_something_else_is_one_line(film, wrong):
    """As numbers: places in the middle of an array, and in the list of arrays at the end."""
    spec, _, snapshots, results = film
    if isinstance(wrong, dict):
        arrays = {k: v for k, v in {**np.load(snapshots), **wrong}.items() if v is not None}
        np.savez(snapshots, **arrays)
    else:
        content = snapshots.read_bytes()
        snapshots.write_bytes(content[:wrong] + bytes(30) + content[wrong + 30 :])
    with pytest.raises(UserError, match=r"not snapshots of|is (damaged|not a NumPy array file)"):
        draw(spec, results)


def test_a_film_is_of_models_that_are_scored_while_they_train():
    config = made_up.experiment(models=("fpa", "dcgan"), seeds=(3, 4))
    config["models"]["fpa"]["training"] = {"watch_kimg": 0}
    config["evaluation"]["checkpoint"] = "last"
    found = [s for s in figures(Plan(config).experiment).values() if s.kind == "film"]
    assert [spec.name for spec in found] == ["training_digits_dcgan"]
    assert {part.seed for part in found[0].inputs} == {3}
    assert [part.optional for part in found[0].inputs] == [False, True]


def test_each_model_keeps_its_colour_in_every_figure(made):
    _, specs, results = made
    theme.use_theme()
    labels = specs["scores"].models
    expected = dict(zip(labels.values(), theme.model_colours(list(labels)).values(), strict=True))
    assert len(set(expected.values())) == 3
    for name in ("progress-digits", "curves-digits"):
        figure = drawn(name, specs, results)
        (legend,) = figure.legends
        for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True):
            assert line.get_color() == pytest.approx(expected[text.get_text()])
    figure = drawn("scores", specs, results)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    for bar, name in zip(figure.axes[0].containers, names, strict=True):
        assert bar[0].get_color() == pytest.approx(expected[name])


def test_an_ablation_plots_the_metrics_over_the_steps(tmp_path):
    config = made_up.experiment(models=("fpa_4", "fpa_16", "fpa_64"), seeds=(0, 1))
    about, specs, results = made_up.fill(tmp_path, config)
    figure = drawn("ablation-steps", specs, results)
    table = made_up.scores(about)
    assert len(figure.axes) == len(drawn_metrics())
    line = figure.axes[0].lines[0]
    means = table[table["metric"] == "fid"].groupby("model")["value"].mean()
    assert line.get_xdata().tolist() == [4, 16, 64]
    np.testing.assert_allclose(line.get_ydata(), means[["fpa_4", "fpa_16", "fpa_64"]])


def test_a_drawn_metric_of_a_plugin_has_its_panels(tmp_path, sharpness):
    config = made_up.experiment(models=("fpa_4", "fpa_16", "fpa_64"), seeds=(0, 1))
    config["evaluation"]["metrics"] = ["fid", "sharpness"]
    _, specs, results = made_up.fill(tmp_path, config)
    theme.use_theme()
    assert drawn_metrics()[-1] == "sharpness"
    for name in ("scores", "ablation-steps"):
        figure = drawn(name, specs, results)
        assert "sharpness × 100" in texts(figure)
    assert (results / "tables" / "sharpness.csv").exists()


# Figures of a plugin ------------------------------------------------------------------------


@pytest.fixture
def mosaic():
    """A kind of figure as a module outside of the project registers it."""

    def specs(context: Context) -> Iterator[Spec]:
        for dataset in context.stores:
            for model in context.painters:
                yield context.spec(
                    "mosaic",
                    dataset,
                    model,
                    title="mosaic",
                    category="Other pictures",
                    caption=f"A mosaic of {context.labels[model]} on {dataset}.",
                    inputs=context.traces(dataset, model),
                    played=True,
                )

    def draw_mosaic(spec: Spec, results: Path) -> Figure:
        figure, ax = plt.subplots()
        theme.show_image(ax, load_needed(spec.inputs[0], results)["image"][0].clip(0, 1))
        return figure

    return register("mosaic", specs, draw_mosaic)


@pytest.mark.slow
def test_a_figure_of_a_plugin_is_drawn_and_on_the_page(mosaic, tmp_path):
    about, specs, results = made_up.fill(tmp_path, made_up.experiment(models=("fpa",)))
    assert list(specs)[-1] == "mosaic-digits-fpa"
    assert figures(about)["mosaic-digits-fpa"].labels["figure"] == "mosaic"
    page = make_report(results).read_text()
    assert (results / "figures" / "mosaic-digits-fpa.png").stat().st_size > 1000
    assert (results / "figures" / "mosaic-digits-fpa.pdf").exists()
    assert 'id="figure-mosaic-digits-fpa"' in page
    assert "A mosaic of fpa on digits." in page
    assert 'href="#part-other-pictures"' in page
    # The trace is played once, though two figures ask for it.
    assert page.count("<option>fpa on digits</option>") == 1


def test_a_page_without_played_figures_plays_nothing(tmp_path):
    about, specs, results = made_up.fill(tmp_path, made_up.experiment())
    assert {spec.kind for spec in specs.values() if spec.played} == {"painting", "refined"}
    silent = {name: dataclasses.replace(spec, played=False) for name, spec in specs.items()}
    assert 'id="player"' in report.render(about, Results(), {}, specs, results, {})
    assert 'id="player"' not in report.render(about, Results(), {}, silent, results, {})


def test_real_images_are_not_shown_where_they_may_not_be_passed_on(tmp_path):
    config = made_up.experiment()
    shown = figures(Plan(config).experiment)
    config["figures"]["real_images"] = False
    about, specs, results = made_up.fill(tmp_path, config)
    assert any(part.path.startswith("real/") for part in shown["samples-digits"].inputs)
    assert not any(p.path.startswith("real/") for spec in specs.values() for p in spec.inputs)
    assert not [name for name in contents(about) if name.startswith("real/")]
    for name, figure in ("samples-digits", "beside"), ("neighbours-digits", "above"):
        assert figure in shown[name].caption
        assert figure not in specs[name].caption
    for path in results.rglob("neighbours*.npz"):
        with np.load(path) as arrays:
            kept = {name: arrays[name] for name in arrays if name != "nearest"}
        np.savez(path, **kept)
    models = [model.label for model in about.models]
    drawn = FIGURES["samples"].draw(specs["samples-digits"], results)
    assert [ax.get_title() for ax in drawn.axes if ax.get_title()] == models
    drawn = FIGURES["neighbours"].draw(specs["neighbours-digits"], results)
    assert [ax.get_title("left") for ax in drawn.axes[::2]] == models
    assert [len(ax.get_yticks()) for ax in drawn.axes[::2]] == [1] * len(models)


def test_scores_over_steps_are_of_painters_that_differ_in_nothing_else():
    config = made_up.experiment(models=("fpa", "fpa_12", "fpa_24", "dcgan"))
    config["models"]["fpa_24"]["settings"]["painter"]["rule"] = "additive"
    about = Plan(config).experiment
    assert figures(about)["ablation-steps"].options["steps"] == {"fpa": 6, "fpa_12": 12}
    config["models"]["fpa_12"]["settings"]["painter"]["rule"] = "oja"
    assert "ablation-steps" not in figures(Plan(config).experiment)


# Overlaps -----------------------------------------------------------------------------------


def drawn_texts(figure, monkeypatch) -> list[tuple[str, np.ndarray]]:
    """What is written, and the corners of where (in pixels)."""
    found, draw = {}, Text.draw

    def note(self, renderer, *arguments, **more):
        if self.get_visible() and self.get_text().strip():
            found[id(self)] = (self.get_text(), self.get_window_extent(renderer).get_points())
        return draw(self, renderer, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", note)
        figure.canvas.draw()
    return list(found.values())


@pytest.fixture(scope="module")
def widest(tmp_path_factory):
    """As wide as the paper: six data sets, six models (two with other steps), three seeds."""
    models = ("fpa", "fpa_unet", "fpa_64", "stylegan2_ada", "lightgan", "dcgan")
    config = made_up.experiment(PAPER, models, (0, 1, 2))
    return made_up.fill(tmp_path_factory.mktemp("widest"), config)


WIDE = "painting-celeba-fpa_64 keys-celeba-fpa_64 dynamics-celeba-fpa_64 refined-celeba-fpa_unet steps samples-celeba interpolation-celeba neighbours-celeba scores tradeoffs agreement ablation-steps progress-celeba curves-celeba"


@pytest.mark.parametrize("name", WIDE.split())
def test_nothing_overlaps_nor_leaves_the_page_at_the_papers_width(name, widest, monkeypatch):
    _, specs, results = widest
    figure = drawn(name, specs, results)
    assert figure.get_figwidth() <= theme.TEXT_WIDTH + 1e-9
    check_overlaps(figure, monkeypatch)


def check_overlaps(figure, monkeypatch) -> None:
    written = drawn_texts(figure, monkeypatch)
    width, height = figure.canvas.get_width_height()
    for text, ((left, low), (right, high)) in written:
        inside = left >= -1 and low >= -1 and right <= width + 1 and high <= height + 1
        assert inside, f"{text!r} leaves the figure"
    for (one, a), (two, b) in itertools.combinations(written, 2):
        apart = (a[1] <= b[0] + 1).any() or (b[1] <= a[0] + 1).any()
        assert apart, f"{one!r} lies over {two!r}"


LONG = (
    "A painter with hundreds of units, half of the learning rate, 神经网络画家 and one more thing"
)


@pytest.fixture(scope="module")
def one_data_set(tmp_path_factory):
    models = ("fpa", "fpa_12", "lightgan", "dcgan")
    return made_up.fill(tmp_path_factory.mktemp("one"), made_up.experiment(models=models))


@pytest.mark.parametrize(
    "name",
    "scores tradeoffs steps ablation-steps targets samples-digits interpolation-digits "
    "neighbours-digits progress-digits curves-digits".split(),
)
def test_a_label_of_eighty_letters_is_wrapped(name, one_data_set, monkeypatch):
    _, specs, results = one_data_set
    spec = specs[name]
    theme.use_theme(LONG)

    def panels(labels: dict[str, str]) -> np.ndarray:
        """Width and height of every panel, in inches."""
        drawn = {model: theme.as_drawn(label) for model, label in labels.items()}
        figure = FIGURES[spec.kind].draw(dataclasses.replace(spec, models=drawn), results)
        check_overlaps(figure, monkeypatch)
        return np.array([ax.get_position().size for ax in figure.axes]) * figure.get_size_inches()

    short = panels({model: f"Painter {i}" for i, model in enumerate(spec.models)})
    long = panels({model: f"{i} {LONG}" for i, model in enumerate(spec.models)})
    # Names at a side take some of the width of a page; nothing takes height.
    width, height = (long / short).min(axis=0)
    assert width > 0.8, width
    assert height > 0.97, height


def test_labels_of_any_script_are_drawn_or_a_font_is_named(caplog, monkeypatch, tmp_path, recwarn):
    from matplotlib import font_manager

    usual = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    stand_in = {ord(c) for c in "画家モデル"}

    class Font:
        def __init__(self, path: str) -> None:
            self.path = path

        def get_charmap(self) -> dict[int, int]:
            return dict.fromkeys(stand_in, 1) if self.path.endswith("Mono.ttf") else usual

    theme.further_fonts.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(font_manager, "get_font", Font)
        with caplog.at_level("WARNING", "fpa"):
            theme.use_theme("画家, the 画家モデル ±")
            assert plt.rcParams["font.family"] == ["sans-serif", "DejaVu Sans Mono"]
            assert not caplog.text
            for _ in range(2):
                theme.use_theme("画家 𓀀\n")
    theme.further_fonts.cache_clear()
    (line,) = caplog.messages
    assert line.startswith("no installed font has 𓀀 of the labels")
    assert "install" in line
    figure, axes = plt.subplots()
    axes.set_title("\U000f0000")
    theme.save_figure(figure, [tmp_path / "boxes.png", tmp_path / "boxes.pdf"])
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


# What is not there --------------------------------------------------------------------------


@pytest.fixture
def partial(tmp_path):
    """The LightGAN of seed 1 is missing, and dcgan on both seeds."""
    config = made_up.experiment(models=("fpa", "lightgan", "dcgan"), seeds=(0, 1))
    about, specs, results = made_up.fill(tmp_path, config)
    for run in about.runs:
        if run.model == "dcgan" or (run.model, run.seed) == ("lightgan", 1):
            for path in (results / run.folder).iterdir():
                path.unlink()
    return about, specs, results


@pytest.mark.parametrize("name", ["samples", "interpolation", "neighbours"])
def test_pictures_name_the_runs_that_are_missing(name, partial):
    _, specs, results = partial
    figure = drawn(f"{name}-digits", specs, results)
    assert sum("missing" in text for text in texts(figure)) == 1
    assert {"fpa", "LIGHTGAN", "DCGAN"} <= set(texts(figure))


def test_neighbours_of_samples_that_are_nan_are_left_out_of_the_curves(partial):
    _, specs, results = partial
    spec = specs["neighbours-digits"]
    path = results / spec.inputs[0].path
    with np.load(path) as found:
        arrays = dict(found)
    arrays["distance"][:] = np.nan
    np.savez(path, **arrays)
    theme.use_theme()
    figure = FIGURES["neighbours"].draw(spec, results)
    lines = [len(ax.lines) for ax in figure.axes if ax.get_ylabel() == "share of images"]
    assert lines == [1, 2]


def test_curves_draw_the_runs_that_are_there(partial):
    _, specs, results = partial
    theme.use_theme()
    for name in ("progress", "curves"):
        figure = drawn(f"{name}-digits", specs, results)
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["fpa", "LIGHTGAN"]


def test_nothing_at_all_is_one_clear_error(partial):
    _, specs, results = partial
    for path in (results / "runs").rglob("*.csv"):
        path.unlink()
    with pytest.raises(UserError, match="curves-digits: nothing to draw"):
        draw(specs["curves-digits"], results)


def test_scores_that_are_missing_failed_or_not_a_number_are_named(made):
    about, specs, _ = made
    theme.use_theme()
    table = made_up.scores(about)
    table = table[table["metric"] == "fid"].copy()
    fpa, unet, dcgan = (table["model"] == name for name in ("fpa", "fpa_unet", "dcgan"))
    table.loc[fpa & (table["seed"] == 1), ["status", "value"]] = ["nan", np.nan]
    table.loc[unet, ["status", "value"]] = ["failed", np.nan]
    table = table[~dcgan]
    labels = {**specs["scores"].models}
    figure = scores.score_panels(table, (0, 1), labels)
    written = [
        text for text in texts(figure) if any(w in text for w in ("missing", "failed", "NaN"))
    ]
    assert [text.strip() for text in written] == ["(NaN 1×)", "failed 2×", "missing 2×"]


def test_a_single_seed_shows_the_metrics_own_error(tmp_path):
    _, specs, results = made_up.fill(tmp_path, made_up.experiment())
    figure = drawn("scores", specs, results)
    fid, kid = figure.axes[:2]
    assert not fid.containers[0].has_xerr
    (bar,) = kid.containers[0][2][0].get_segments()
    assert bar[1][0] - bar[0][0] == pytest.approx(2 * 1000 * 0.01)


def test_bars_of_one_figure_are_of_one_kind(made):
    """A model with one training left has no bar beside others whose bars are over trainings."""
    about, specs, _ = made
    table = made_up.scores(about)
    table["error"] = 0.01
    table = table[(table["model"] != "dcgan") | (table["seed"] == 0)]
    figure = scores.score_panels(table, (0, 1), {**specs["scores"].models})
    has_bars = [bar.has_xerr for bar in figure.axes[0].containers]
    assert has_bars == [True, True, False]


def test_only_inceptions_distance_is_called_fid_in_a_figure(made):
    about, specs, _ = made
    theme.use_theme()
    for extractor, name in ("inception_v3", "FID"), ("dinov2_vitl14", "Fréchet distance"):
        table = made_up.scores(about).assign(extractor=extractor)
        figure = scores.score_panels(table, (0, 1), specs["scores"].models)
        assert figure.axes[0].get_ylabel() == name


def test_a_history_with_nan_is_drawn_as_far_as_it_goes(made):
    theme.use_theme()
    history = pd.DataFrame(
        {"kimg": [0.0, 1, 2], "fid": [9.0, np.nan, 3], "d_loss": [np.nan, np.inf, 1]}
    )
    labels = {"fpa": "FPA"}
    figure = training.progress([("fpa", 0, history)], labels, "e")  # made before precision was kept
    assert len(figure.axes[0].lines[0].get_xdata()) == 2
    training.training_curves([("fpa", 0, history)], labels)
    unwatched = history.drop(columns="fid")
    assert "watch_kimg" in " ".join(texts(training.progress([("fpa", 0, unwatched)], labels, "e")))


def test_a_refiners_curve_stands_beside_the_frozen_painters_score(made):
    _, specs, results = made
    figure = drawn("progress-digits", specs, results)
    dotted = [
        [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        for ax in figure.axes
    ]
    assert dotted == [[30.0], [0.5], [0.3]]


def test_only_what_is_missing_or_out_of_date_is_drawn(tmp_path):
    _, specs, results = made_up.fill(tmp_path, made_up.experiment(models=("dcgan",)))
    assert draw_missing(specs, results) == {}
    files = [results / file for spec in specs.values() for file in spec.files]
    before = {file: file.stat().st_mtime_ns for file in files}
    assert draw_missing(specs, results) == {}
    assert {file: file.stat().st_mtime_ns for file in files} == before
    table = results / "tables" / "scores.csv"
    table.write_text(table.read_text())
    draw_missing(specs, results)
    changed = {file.stem for file in files if file.stat().st_mtime_ns != before[file]}
    assert changed == {"scores"}


def test_a_figures_description_changes_with_what_it_shows_only():
    config = made_up.experiment()
    other = copy.deepcopy(config)
    other["figures"]["grid"] = 4
    one, two = (figures(Plan(c).experiment) for c in (config, other))
    assert {name for name in one if one[name] != two[name]} == {"samples-digits"}
