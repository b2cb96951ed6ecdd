"""The kept results: from the bundle in the repository to the tables beside it and in the README."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from browsing import opened, pixels, wait_until
from conftest import ROOT, fpa_ok, module_of
from PIL import Image

from fpa.data.store import open_store
from fpa.experiment.experiment import Experiment
from fpa.reporting.make import make_tables

DIGITS = ROOT / "results" / "published" / "digits"
ABLATIONS = ROOT / "results" / "published" / "digits-ablations"
CATS = ROOT / "results" / "published" / "cats"
TABLES = ("fid", "kid", "scores", "comparisons", "claims", "targets")


@pytest.fixture(scope="module")
def remade(tmp_path_factory):
    """The results folder that `make digits` fills, in a place of its own."""
    folder = tmp_path_factory.mktemp("published")
    results = folder / "results" / "digits-seeds"
    fpa_ok("unpack", DIGITS / "bundle.tar.gz", "--into", results, cwd=folder)
    fpa_ok("report", results, cwd=folder)
    yield results
    shutil.rmtree(folder)


def check_table(name: str, made: Path, kept: Path) -> None:
    """A table is the kept one, to the letter; p and intervals are scipy's, which may round otherwise."""
    assert (made / f"{name}.md").read_text() == (kept / f"{name}.md").read_text()
    if name in ("comparisons", "claims"):
        one, two = (pd.read_csv(folder / f"{name}.csv") for folder in (made, kept))
        pd.testing.assert_frame_equal(one, two, rtol=1e-9)
    else:
        assert (made / f"{name}.csv").read_text() == (kept / f"{name}.csv").read_text()


@pytest.mark.parametrize("name", TABLES)
def test_the_kept_tables_are_what_the_bundle_gives(remade, name):
    check_table(name, remade / "tables", DIGITS)


def test_they_are_of_five_seeds_of_every_model(remade):
    table = pd.read_csv(DIGITS / "scores.csv")
    fid = table[table["metric"] == "fid"]
    assert set(fid.groupby("model").size()) == {5}
    assert set(fid["status"]) == {"ok"}
    assert set(fid["model"]) == {model.name for model in Experiment.read(remade).models}


def test_figures_and_page_are_made_of_it(remade):
    # The default experiment's page is about as large: the same pictures of one seed.
    assert 100_000 < (remade / "report.html").stat().st_size < 8_500_000
    assert (remade / "figures" / "progress-digits.png").exists()


def test_images_cut_to_fewer_ranks_are_further_from_themselves_the_fewer_they_are(tmp_path, capsys):
    """What docs/results.md says of photographs, on digits; nearest is nearest by Eckart and Young."""
    script = module_of("docs/effective_rank.py")
    fpa_ok("prepare", "digits", "--config", ROOT / "config.yaml", cwd=tmp_path)
    (store,) = tmp_path.glob("data/digits-16px-*")
    images = np.asarray(open_store(store)[0])[:100]
    lost = np.linalg.norm(script.scaled(script.cut(images, 2)) - script.scaled(images), axis=(2, 3))
    least = np.linalg.norm(np.linalg.svd(script.scaled(images), compute_uv=False)[..., 2:], axis=-1)
    # Rounding to 8 bits, and what is beyond black and white, which only brings them nearer.
    assert (lost < least + 0.05).all()
    assert lost.mean() > 0.9 * least.mean()
    np.testing.assert_array_equal(script.cut(images, 16), images)
    script.of_photographs(store, [1, 3])
    whole, *cut = (
        [float(x) for x in row.split("|")[2:-1]] for row in capsys.readouterr().out.splitlines()[2:]
    )
    assert 1 <= cut[0][0] < cut[1][0] < whole[0] < 16
    assert cut[0][1] > 2 * cut[1][1] > 0
    assert cut[0][3] < cut[1][3]


def rows_of(path: Path) -> list[str]:
    """The rows of a table in Markdown."""
    return [line for line in path.read_text().splitlines() if line.startswith("|")]


@pytest.mark.parametrize(("place", "trainings"), [(ABLATIONS, 3), (CATS, 1)], ids=lambda x: "")
def test_other_kept_tables_are_what_their_bundle_gives(place, trainings, tmp_path):
    """Their figures and pages are made by `make digits-ablations` and `make cats` alone."""
    results = tmp_path / "results"
    fpa_ok("unpack", place / "bundle.tar.gz", "--into", results, cwd=tmp_path)
    make_tables(Experiment.read(results), results)
    for name in (*TABLES, "models"):
        check_table(name, results / "tables", place)
    fid = pd.read_csv(place / "scores.csv").query("metric == 'fid'")
    assert set(fid.groupby("model").size()) == {trainings}
    planned = yaml.safe_load((ROOT / "experiments" / f"{place.name}.yaml").read_text())
    assert set(fid["model"]) == set(planned["models"])
    page = (ROOT / "docs/results.md").read_text()
    assert all(row in page for row in rows_of(place / "scores.md"))


@pytest.fixture(scope="module")
def cats(tmp_path_factory):
    """The results folder of their bundle."""
    results = tmp_path_factory.mktemp("cats") / "results"
    fpa_ok("unpack", CATS / "bundle.tar.gz", "--into", results, cwd=results.parent)
    return results


def test_no_photograph_is_kept(cats):
    assert (CATS / "bundle.tar.gz").stat().st_size < 20_000_000
    assert not (cats / "real").exists()
    neighbours = list(cats.rglob("neighbours*.npz"))
    assert len(neighbours) == 4
    for path in neighbours:
        with np.load(path) as arrays:
            assert "nearest" not in arrays


@pytest.mark.parametrize("model", ["fpa", "fpa_unet"])
def test_the_kept_generators_paint_the_kept_samples(model, cats, tmp_path):
    (kept,) = (cats / "runs" / "afhq_cat" / model).glob("*/samples-best-n64-*.npy")
    out = tmp_path / "cats.npy"
    fpa_ok("sample", CATS / model, "--count", 64, "--seed", 0, "--out", out, cwd=tmp_path)
    # Another processor rounds otherwise.
    assert np.abs(np.load(out).astype(int) - np.load(kept)).max() <= 1


@pytest.fixture(scope="module")
def drawing():
    return module_of("docs/figures.py")


def test_the_figures_of_the_page_on_painting_are_what_the_bundle_gives(drawing, tmp_path):
    drawn = drawing.draw(tmp_path)
    page = (ROOT / "docs/how-a-network-paints.md").read_text()
    assert {path.name for path in drawn} == {path.name for path in drawing.OUT.iterdir()}
    for path in drawn:
        assert f"(how-a-network-paints/{path.name})" in page
        made, kept = (
            np.asarray(Image.open(place).convert("L"), float)
            for place in (path, drawing.OUT / path.name)
        )
        assert made.shape == kept.shape, path.name
        # Another version of Matplotlib or FreeType moves edges of letters and lines.
        assert np.abs(made - kept).mean() < 1, path.name


def test_the_figures_rule_paints_what_the_painter_painted(drawing, tmp_path):
    trace, _ = drawing.load(tmp_path)
    for n in range(len(trace["painted"])):
        matrix = drawing.written(trace, n, delta=True)[-1]
        # The painter computed in float32.
        np.testing.assert_allclose(np.tanh(matrix), trace["painted"][n, 0], atol=1e-5)
        added = np.tanh(drawing.written(trace, n, delta=False)[-1])
        assert np.abs(added - trace["painted"][n, 0]).max() > 0.1


@pytest.mark.parametrize(("place", "page"), [(DIGITS, "docs/results.md"), (CATS, "README.md")])
def test_pages_show_the_same_table(place, page):
    assert all(row in (ROOT / page).read_text() for row in rows_of(place / "scores.md"))


@pytest.mark.parametrize("kept", ["digits", "cats"])
def test_the_kept_painters_run_on_a_page_of_their_own(kept, browser, tmp_path):
    generate = module_of("docs/generate.py")
    (tmp_path / "painters.html").write_text(generate.painters(kept))
    with opened(browser, tmp_path / "painters.html") as page:
        dataset = {"digits": "digits", "cats": "afhq_cat"}[kept]
        shown = [f"FPA on {dataset}", f"FPA + U-Net on {dataset}"]
        shown += [f"FPA + residual U-Net on {dataset}"] if kept == "digits" else []
        assert page.locator("#which option").all_inner_texts() == shown
        first = pixels(page, "image")
        assert first.max() > 200
        page.click("#new-latent")
        wait_until(page, lambda: np.abs(pixels(page, "image").astype(int) - first).max() > 20)
