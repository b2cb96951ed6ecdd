"""The report: what it holds, that it is made from what there is, and that it works in a browser."""

import base64
import html
import json
import re
import shutil

import made_up
import numpy as np
import pandas as pd
import pytest
from browsing import opened, pixels
from conftest import fpa_ok, modules_loaded_by

from fpa.core.files import load_arrays
from fpa.evaluation import trace
from fpa.reporting.make import make_report
from fpa.reporting.player import pack

MOST_BYTES = 15e6


MAKE = """
from fpa.reporting.make import make_figure, make_report
make_figure("results", "painting-cats-fpa")
make_figure("results", "scores")
make_report("results")
"""


@pytest.fixture(scope="module")
def made_by(tmp_path_factory):
    """An experiment on two data sets, its report, the report's text, and the modules that it took."""
    folder = tmp_path_factory.mktemp("made")
    about, specs, results = made_up.fill(folder, made_up.experiment(("cats", "dogs")))
    modules = modules_loaded_by(MAKE, folder)
    return about, specs, results, (results / "report.html").read_text(), modules


@pytest.fixture(scope="module")
def made(made_by):
    """The same without the modules."""
    return made_by[:4]


def test_the_page_holds_every_figure_with_its_caption(made):
    _, specs, results, page = made
    images = set(re.findall(r'src="data:image/(?:png|gif);base64,([^"]+)"', page))
    for spec in specs.values():
        assert base64.b64encode((results / spec.files[0]).read_bytes()).decode() in images
        assert spec.caption in html.unescape(page)
    assert page.count("<img ") == len(specs) == len(re.findall(r'<img [^>]*alt="\w', page))


def test_the_page_says_what_was_run(made):
    about, _, _, page = made
    for run in about.runs:
        assert run.digest in page
    for text in ("A processor, 1 CPU thread", "1.5", "2.15.0", "n_fake: 9", "abababab"):
        assert text in page


def test_the_page_is_one_file_below_15_mb_that_names_no_other(made):
    *_, page = made
    assert len(page.encode()) < MOST_BYTES
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert not re.findall(
        r"url\(|@import|\bfetch\(|XMLHttpRequest", page.split("paintings-data")[0]
    )


def test_the_same_results_give_the_same_page_wherever_they_lie(made, tmp_path):
    _, _, results, page = made
    shutil.copytree(results, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "report.html").unlink()
    fpa_ok("report", "elsewhere", cwd=tmp_path)
    assert (tmp_path / "elsewhere" / "report.html").read_text() == page


def test_a_report_and_a_figure_are_made_without_torch(made_by):
    heavy = {"torch", "sklearn", "fpa.cli"}
    assert "matplotlib" in made_by[-1]
    assert not heavy & made_by[-1]


def test_a_packed_trace_loses_nothing_that_is_painted():
    whole = made_up.trace(2, 3, 5, initial=np.ones((3, 16, 16), np.float32))
    packed = pack(whole)
    for name in ("left", "right"):
        array = np.frombuffer(base64.b64decode(packed[name]), "<f4").reshape(whole[name].shape)
        np.testing.assert_array_equal(array, whole[name])
    values = np.frombuffer(base64.b64decode(packed["values"]), "<i1").reshape(2, -1)
    assert np.abs(values).max(axis=1).tolist() == [127, 127]
    assert packed["refined"] is None
    assert pack({**whole, "image": whole["painted"] / 2})["refined"]
    json.dumps(packed)


def test_a_metrics_table_is_on_the_page_only_for_published_values(made, tmp_path):
    _, _, results, page = made
    assert "<h3>scores</h3>" in page
    assert "<h3>fid</h3>" not in page
    assert "<h3>kid</h3>" not in page
    assert "fid and kid have the same numbers" in page
    shutil.copytree(results, tmp_path / "results")
    path = tmp_path / "results" / "tables" / "fid.csv"
    frame = pd.read_csv(path).assign(published=7.5)
    frame.to_csv(path, index=False)
    page = make_report(tmp_path / "results", as_is=True).read_text()
    assert "<h3>fid</h3>" in page
    assert "kid has the same numbers" in page
    (tmp_path / "results" / "tables" / "scores.csv").unlink()
    page = make_report(tmp_path / "results", as_is=True).read_text()
    assert "<h3>kid</h3>" in page


# Partial results ----------------------------------------------------------------------------


def test_partial_results_are_shown_as_such(tmp_path):
    config = made_up.experiment(models=("fpa", "lightgan", "dcgan", "stylegan"))
    about, _, results = made_up.fill(tmp_path, config)
    folders = {run.model: results / run.folder for run in about.runs}
    for model in ("fpa", "lightgan", "dcgan"):
        shutil.rmtree(folders[model])
    (folders["fpa"] / "state").mkdir(parents=True)
    (folders["fpa"] / "state" / "step-000001234.pt").touch()
    log = results / "logs" / "train" / f"digits-lightgan-{folders['lightgan'].name}.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "2026-01-01 00:00:00 a step\n2026-01-01 00:00:01 error: a loss was NaN 11 times\n"
    )
    (path,) = folders["stylegan"].glob("score-*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "nan", "metrics": {}}))
    done = fpa_ok("report", "results", cwd=tmp_path)
    page = (results / "report.html").read_text()
    for text in (
        "3 of 4 runs are not finished",
        "fpa on digits, seed 0: unfinished: saved at step 1,234",
        "LIGHTGAN on digits, seed 0: failed: a loss was NaN 11 times",
        "DCGAN on digits, seed 0: missing: not begun",
        "STYLEGAN on digits, seed 0: its scores are NaN",
        "One training seed a model: ± and error bars are standard errors of sampling",
        "Not here: painting-digits-fpa: nothing to draw",
    ):
        assert text in page, text
    drawn = {path.stem for path in (results / "figures").glob("*.png")}
    assert {"samples-digits", "neighbours-digits", "scores", "progress-digits"} <= drawn
    assert "painting-digits-fpa" not in drawn
    assert 'id="player"' not in page
    assert "painting-digits-fpa is not drawn" in done.stderr


def test_an_experiment_that_has_not_begun_has_a_page_too(tmp_path):
    about, _, results = made_up.fill(tmp_path, made_up.experiment())
    for path in results.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    fpa_ok("report", "results", cwd=tmp_path)
    page = (results / "report.html").read_text()
    assert f"{len(about.runs)} of {len(about.runs)} runs are not finished" in page
    assert "There are no tables yet" in page


# In a browser -------------------------------------------------------------------------------


@pytest.fixture
def page(browser, made):
    """The report of the made-up experiment."""
    _, _, results, _ = made
    with opened(browser, results / "report.html") as page:
        yield page


def move_slider(page, step: int) -> None:
    page.evaluate(
        """step => {
            const slider = document.getElementById("step");
            slider.value = step;
            slider.dispatchEvent(new Event("input"));
        }""",
        step,
    )


def saved_trace(made, name: str) -> dict[str, np.ndarray]:
    _, specs, results, _ = made
    with load_arrays(results / specs[name].inputs[0].path) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("painting", [0, 1])
def test_the_slider_shows_the_saved_painting_pixel_by_pixel(page, made, painting):
    arrays = saved_trace(made, "painting-dogs-fpa")
    updates, partial = (trace.to_uint8(p) for p in trace.step_pictures(arrays))
    page.select_option("#which", label="fpa on dogs")
    page.click(f"#choices button:nth-child({painting + 1})")
    assert page.get_attribute("#step", "max") == "6"
    for step in (1, 2, 4, 6):
        move_slider(page, step)
        np.testing.assert_array_equal(pixels(page, "image"), partial[painting, step - 1])
        np.testing.assert_array_equal(pixels(page, "update"), updates[painting, step - 1])
        assert page.inner_text("#position") == f"step {step} of 6"
        rate = arrays["rates"][painting, :, step - 1].mean()
        assert f"learning rate β = {rate:.2f}" in page.inner_text("#rate")
    # The last step is the saved image; float32 and float64 may round a tie differently.
    finished = trace.to_uint8(arrays["painted"])[painting]
    far = np.abs(pixels(page, "image").astype(int) - finished)
    assert far.max() <= 1
    assert (far > 0).mean() < 0.01


def test_strips_show_key_and_value_of_the_step(page, made):
    arrays = saved_trace(made, "painting-cats-fpa")
    move_slider(page, 3)
    key, value = pixels(page, "key"), pixels(page, "value")
    assert key.shape == (3, 3, 16)
    assert value.shape == (3, 16, 3)
    # Brighter is larger: the lightness follows the key.
    for channel in range(3):
        order = np.argsort(arrays["right"][0, channel, 2])
        lightness = key[:, channel, order].astype(int).sum(axis=0)
        assert (np.diff(lightness) >= -2).all()
        # Red over blue where the value is positive.
        values = arrays["values"][0, channel, 2]
        clear = np.abs(values) > 0.1
        redder = value[0, :, channel].astype(int) > value[2, :, channel]
        np.testing.assert_array_equal(redder[clear], values[clear] > 0)


def test_a_refined_painting_is_shown_beside_it(page, made):
    assert not page.is_visible("#refined-figure")
    page.select_option("#which", label="FPA + U-Net on cats")
    assert page.is_visible("#refined-figure")
    arrays = saved_trace(made, "refined-cats-fpa_unet")
    np.testing.assert_array_equal(pixels(page, "refined"), trace.to_uint8(arrays["image"])[0])


def test_the_player_is_played_by_keyboard(page):
    page.focus("#step")
    page.keyboard.press("Home")
    assert page.inner_text("#position") == "step 1 of 6"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#position") == "step 3 of 6"
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Pause"
    page.get_by_text("step 6 of 6", exact=True).wait_for()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    page.focus("#choices button")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#position") == "step 5 of 6"


def test_everything_that_is_seen_is_said(page):
    move_slider(page, 2)
    assert (
        page.get_attribute("#image", "aria-label") == "Painting 1 by fpa on cats after step 2 of 6"
    )
    for canvas in ("update", "key", "value", "rates"):
        assert "step 2" in page.get_attribute(f"#{canvas}", "aria-label")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("img:not([alt]), canvas:not([aria-label]):not([aria-hidden]), button")]
            .filter((e) => e.tagName !== "BUTTON" || !(e.textContent.trim() || e.getAttribute("aria-label"))).length"""
    )
    assert unnamed == 0


def test_tables_are_sorted_by_their_columns(page, made):
    def column(number: int) -> list[str]:
        return page.eval_on_selector_all(
            f"#tables table >> nth=0 >> tbody td:nth-child({number})",
            "cells => cells.map((cell) => cell.textContent)",
        )

    head = page.locator("#tables table >> nth=0 >> th")
    before = [float(text) for text in column(2)]
    head.nth(1).locator("button").click()
    assert [float(text) for text in column(2)] == sorted(before)
    assert head.nth(1).get_attribute("aria-sort") == "ascending"
    head.nth(1).locator("button").click()
    assert [float(text) for text in column(2)] == sorted(before, reverse=True)
    head.nth(0).locator("button").click()
    assert column(1) == sorted(column(1), key=str.lower)
    assert head.nth(1).get_attribute("aria-sort") is None


@pytest.mark.parametrize("width", [360, 400, 1400])
def test_the_page_fits_phones_and_desks(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark_follow_the_system_and_print_is_black_on_white(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert not page.is_visible("#play")
    assert page.pdf(format="A4").startswith(b"%PDF")
