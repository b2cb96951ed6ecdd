"""The commands of the documents: from a folder of photographs to a page that paints."""

import os
import sys
from pathlib import Path

import yaml
from browsing import opened, pixels
from conftest import ROOT, environment, jpeg, quick, run

from fpa.data.store import open_store

EXPERIMENT = "experiments/photographs.yaml"
COMMANDS = """
ln -s ~/Pictures/birds photographs
snakemake --cores all --configfile experiments/photographs.yaml
"""
"""As they are printed; tests/integration/test_docs.py looks for that."""


def small(config: dict) -> dict:
    """The shipped experiment's painter with three steps of training, and scores that take no time."""
    config = quick({"evaluation": {}, **config}, {"fpa": config["models"]["fpa"]})
    config["training"] |= {"kimg": 0.024, "batch_size": 8}
    config["evaluation"] |= {"kid_subsets": 5, "kid_subset_size": 20}
    config["figures"] = {"grid": 9, "paintings": 2}
    config["runtime"] |= {"cost_seconds": 0.1}
    return config


def test_a_folder_of_photographs_becomes_a_page_that_paints(tmp_path, photographs, browser):
    album = tmp_path / "Pictures" / "birds" / "holiday"
    album.mkdir(parents=True)
    for i, pixels_of in enumerate(photographs):
        (album / f"{i}.jpg").write_bytes(jpeg(pixels_of))
    for name in ("Snakefile", "workflow", "fpa", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / EXPERIMENT).parent.mkdir()
    config = small(yaml.safe_load((ROOT / EXPERIMENT).read_text()))
    (tmp_path / EXPERIMENT).write_text(yaml.safe_dump(config))

    here = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in COMMANDS.strip().splitlines():
        done = run("bash", "-c", command, cwd=tmp_path, env={**environment(), **here})
        assert done.returncode == 0, done.stderr

    (store,) = (tmp_path / "data").glob("photographs-32px-*")
    assert open_store(store)[0].shape == (40, 3, 32, 32)
    with opened(browser, tmp_path / "results/photographs/report.html") as page:
        assert page.locator("#which option").all_inner_texts() == ["FPA on photographs"]
        assert pixels(page, "image").std() > 0
