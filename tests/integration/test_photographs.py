"""The three commands of the documents: from a folder of photographs to a page that paints."""

import re
import shlex

import yaml
from browsing import opened, pixels
from conftest import ROOT, jpeg, quick, run_snakemake

from fpa.data.store import open_store

EXPERIMENT = "experiments/photographs.yaml"


def commands() -> list[list[str]]:
    """The words of each, as docs/getting-started.md has them."""
    section = (ROOT / "docs/getting-started.md").read_text().split("## Your own photographs")[1]
    block = re.search(r"^```\n(.*?)^```$", section, flags=re.S | re.M)
    return [shlex.split(line) for line in block[1].splitlines()]


def small(config: dict) -> dict:
    """The shipped experiment's painter with three steps of training, and scores that take no time."""
    config = quick({"evaluation": {}, **config}, {"fpa": config["models"]["fpa"]})
    config["training"] |= {"kimg": 0.024, "batch_size": 8}
    config["evaluation"] |= {"kid_subsets": 5, "kid_subset_size": 20}
    config["figures"] = {"grid": 9, "paintings": 2}
    config["runtime"] |= {"cost_seconds": 0.1}
    return config


def test_a_folder_of_photographs_becomes_a_page_that_paints(tmp_path, photographs, browser):
    link, snakemake, look = commands()
    album = tmp_path / "Pictures" / "holiday"
    album.mkdir(parents=True)
    for i, pixels_of in enumerate(photographs):
        (album / f"{i}.jpg").write_bytes(jpeg(pixels_of))
    assert link[:2] == ["ln", "-s"]
    (tmp_path / link[3]).symlink_to(album.parent)

    config = small(yaml.safe_load((ROOT / EXPERIMENT).read_text()))
    (tmp_path / EXPERIMENT).parent.mkdir()
    (tmp_path / EXPERIMENT).write_text(yaml.safe_dump(config))
    assert snakemake[0] == "snakemake"
    assert snakemake[-1] == EXPERIMENT
    words = ["--directory", tmp_path, *snakemake[1:-1], tmp_path / EXPERIMENT]
    done = run_snakemake(*(2 if word == "all" else word for word in words))
    assert done.returncode == 0, done.stderr

    (store,) = (tmp_path / "data").glob("photographs-32px-*")
    assert open_store(store)[0].shape == (40, 3, 32, 32)
    with opened(browser, tmp_path / look[-1]) as page:
        assert page.locator("#which option").all_inner_texts() == ["FPA on photographs"]
        assert pixels(page, "image").std() > 0
