"""The kept results: from the bundle in the repository to the tables beside it and in the README."""

import shutil

import pandas as pd
import pytest
from conftest import ROOT, fpa

from fpa.common.files import read_json

DIGITS = ROOT / "results" / "published" / "digits"
TABLES = ("fid", "scores", "comparisons")


@pytest.fixture(scope="module")
def remade(tmp_path_factory):
    """The results folder that `make digits` fills, in a place of its own."""
    folder = tmp_path_factory.mktemp("published")
    results = folder / "results" / "digits-seeds"
    done = fpa("unpack", DIGITS / "bundle.tar.gz", "--into", results, cwd=folder)
    assert done.returncode == 0, done.stderr
    done = fpa("report", results, cwd=folder)
    assert done.returncode == 0, done.stderr
    yield results
    shutil.rmtree(folder)


@pytest.mark.parametrize("ending", ["csv", "md"])
@pytest.mark.parametrize("name", TABLES)
def test_the_kept_tables_are_what_the_bundle_gives(remade, name, ending):
    made = (remade / "tables" / f"{name}.{ending}").read_text()
    assert made == (DIGITS / f"{name}.{ending}").read_text()


def test_they_are_of_five_seeds_of_every_model(remade):
    table = pd.read_csv(DIGITS / "scores.csv")
    fid = table[table["metric"] == "fid"]
    assert set(fid.groupby("model").size()) == {5}
    assert set(fid["status"]) == {"ok"}
    about = read_json(remade / "experiment.json")
    assert set(fid["model"]) == {model["name"] for model in about["models"]}


def test_figures_and_page_are_made_of_it(remade):
    assert (remade / "report.html").stat().st_size > 100_000
    assert (remade / "figures" / "progress-digits.png").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_pages_show_the_same_table(page):
    rows = [
        line for line in (DIGITS / "scores.md").read_text().splitlines() if line.startswith("|")
    ]
    assert all(row in (ROOT / page).read_text() for row in rows)
