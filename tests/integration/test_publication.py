"""Results as a folder for an archive: made, verified, and each thing that does not hold named."""

import shutil
import subprocess

import made_up
import pytest
import torch
import yaml
from conftest import TINY, finished, fpa, fpa_ok, score_by_hand

from fpa.core.errors import UserError
from fpa.core.files import file_digest, read_json, write_json
from fpa.experiment.plan import Plan
from fpa.reporting import publication as layout
from fpa.reporting.publication import verify


def made(folder):
    """A finished experiment of one model: its results folder, with made-up arrays and real weights."""
    config = {**TINY, "models": {"fpa": TINY["models"]["fpa"]}}
    # As few pictures as there can be.
    config["figures"] = {"grid": 9, "paintings": 1, "strips": [0], "strip_steps": 2, "frames": 2}
    config["evaluation"] = {**TINY["evaluation"], "checkpoint": "last"}
    about, _, results = made_up.fill(folder, config)
    (run,) = Plan({**config, "results": str(results)}).runs
    place = results / run.folder
    finished(run, place, seconds=7200)
    (place / "run.json").write_text("{}\n")
    history = "step,kimg,fid,precision,recall,d_loss,g_loss\n0,0.0,9.0,0.5,0.5,1.0,1.0\n"
    (place / "history.csv").write_text(history)
    _score(folder, run, place / about.protocols[0].score_file)
    return results


def _score(folder, run, out):
    """Prepare the data in `data` below the folder, and score the run's samples on them."""
    store = f"data/{run.store}"
    words = ("digits", "resolution=16", "channels=1", "filter=bicubic", "--no-config")
    fpa_ok("prepare", *words, "--out", store, cwd=folder)
    # The training was made up, these are the images that it was said to be of.
    images = read_json(folder / store / "manifest.json")["images_sha256"]
    summary = folder / "results" / run.folder / "train.json"
    write_json(summary, {**read_json(summary), "images_sha256": images})
    score_by_hand(
        *(folder, summary.parent, store, out),
        *("--protocol", "quick", "--kid-subsets", 5, "--kid-subset-size", 20),
        network="efficientnet_lite0-32px",
        metrics=("fid", "kid", "precision", "recall"),
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder that `fpa publish` makes."""
    folder = tmp_path_factory.mktemp("publication")
    results = made(folder / "made")
    words = ("--author", "Irie, Kazuki", "--licence", "CC-BY-4.0")
    fpa_ok("publish", results, "--out", "out", *words, cwd=folder)
    return folder / "out"


@pytest.fixture(scope="module", autouse=True)
def remade_once(tmp_path_factory):
    """The same bundle is drawn once by `verify`: what is compared with it is another matter."""
    known, remake = {}, layout.remake

    def once(bundle, scratch):
        digest = file_digest(bundle)
        if "verify" not in str(scratch):
            return remake(bundle, scratch)
        if digest not in known:
            known[digest] = remake(bundle, tmp_path_factory.mktemp("remade"))
        return known[digest]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "remake", once)
        yield


@pytest.fixture
def copy(published, tmp_path):
    """A copy to spoil."""
    shutil.copytree(published, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_publication_has_all_parts(published):
    about = read_json(published / layout.ABOUT)
    (model,) = about["models"].values()
    for name in (
        *("README.md", "DATASHEET.md", "CITATION.cff", "bundle.tar.gz", "report.html"),
        *("tables/fid.csv", "tables/scores.tex", "figures/samples-digits.pdf"),
        *(f"{model}/README.md", f"{model}/generator.safetensors", f"{model}/samples.png"),
    ):
        assert (published / name).is_file(), name
    citation = yaml.safe_load((published / "CITATION.cff").read_text())
    assert citation["license"] == "CC-BY-4.0"
    sheet = (published / "DATASHEET.md").read_text()
    for words in (
        "Trainings: 1; seeds: 0; images seen in all: ",
        "2.0 hours on cpu",
        "Licence: CC BY 4.0",
    ):
        assert words in sheet
    # What archives and readers have: coreutils.
    command = ["sha256sum", "--quiet", "-c", layout.CHECKSUMS]
    assert subprocess.run(command, cwd=published, check=False).returncode == 0
    assert not [p for p in published.parent.iterdir() if p.name.startswith(".")]


def test_a_publication_is_not_written_over_something(published):
    done = fpa("publish", published.parent / "made/results", "--out", published, cwd=published)
    assert done.returncode == 1
    assert "is there already" in done.stderr


def test_what_was_published_is_made_again_file_for_file(published, tmp_path):
    done = fpa_ok("verify", published, cwd=tmp_path)
    assert "everything is as published" in done.stderr
    assert not list(tmp_path.iterdir())


def test_everything_that_does_not_hold_is_named(copy, tmp_path):
    (model,) = (copy / "models").iterdir()
    table = copy / "tables/fid.csv"
    table.write_text(table.read_text().replace("digits", "dogs"))
    (copy / "figures/extra.png").write_bytes(b"drawn elsewhere")
    (copy / "figures/samples-digits.png").unlink()
    config = model / "generator.json"
    config.write_text(config.read_text().replace('"digest": "', '"digest": "0'))
    about = read_json(copy / layout.ABOUT)
    write_json(
        copy / layout.ABOUT, {**about, "models": {**about["models"], "ab" * 32: "../../elsewhere"}}
    )
    # Whoever forges results writes the checksums anew.
    (copy / layout.CHECKSUMS).write_text(layout.checksums(copy))
    (copy / "README.md").write_text("other words\n")
    done = fpa("verify", copy, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    named = [
        "README.md is not the file that was published",
        "figures/extra.png is not made from the bundle",
        "figures/samples-digits.png, which the bundle gives, is missing",
        "tables/fid.csv is another file when it is made again",
        f"models/{model.name} holds the model of another run",
        "'../../elsewhere' is not a model of the experiment",
    ]
    assert sorted(lines[-len(named) :]) == sorted(named)


def test_a_damaged_bundle_and_missing_files_are_named(copy):
    bundle = copy / "bundle.tar.gz"
    bundle.write_bytes(bundle.read_bytes()[:-100])
    (copy / "DATASHEET.md").unlink()
    (copy / "link").symlink_to("/etc/passwd")
    found = verify(copy)
    assert found[:3] == [
        "DATASHEET.md is missing",
        "bundle.tar.gz is not the file that was published",
        "link is a link, not a file",
    ]
    assert found[3].startswith("the bundle cannot be used: ")
    assert len(found) == 4


def test_scores_are_made_again(published, tmp_path):
    data = published.parent / "made" / "data"
    done = fpa_ok("verify", published, "--rescore", 0.1, "--data", data, cwd=tmp_path)
    assert "the same samples; its scores are as published" in done.stderr


def test_scores_that_are_too_good_are_named(published, tmp_path, monkeypatch):
    results = layout.remake(published / "bundle.tar.gz", tmp_path / "verify")
    shutil.copytree(results, tmp_path / "forged")
    (path,) = (tmp_path / "forged").rglob("score-*.json")
    score = read_json(path)
    score["metrics"]["fid"]["value"] /= 2
    write_json(path, score)
    # As if tables, figures and bundle had been made of it too.
    monkeypatch.setattr(layout, "remake", lambda bundle, scratch: tmp_path / "forged")
    data = published.parent / "made" / "data"
    (found,) = verify(published, 1, data, device=torch.device("cpu"))
    assert "protocol quick: fid is " in found


def test_plugins_that_a_score_needs_are_named(published, tmp_path, monkeypatch):
    results = layout.remake(published / "bundle.tar.gz", tmp_path / "verify")
    shutil.copytree(results, tmp_path / "forged")
    (path,) = (tmp_path / "forged").rglob("score-*.json")
    write_json(path, {**read_json(path), "extractor": "thumbnails-16px"})
    path = tmp_path / "forged" / "experiment.json"
    about = read_json(path)
    about["config"]["plugins"] = ["thumbnails"]
    write_json(path, about)
    monkeypatch.setattr(layout, "remake", lambda bundle, scratch: tmp_path / "forged")
    with pytest.raises(
        UserError, match=r"thumbnails.* put FPA_PLUGINS=thumbnails before the command"
    ):
        verify(published, 1, published.parent / "made" / "data", device=torch.device("cpu"))


def test_without_the_data_no_score_is_made_again(published, tmp_path):
    done = fpa("verify", published, "--rescore", 1, cwd=tmp_path)
    assert done.returncode == 1
    assert "; `python -m fpa prepare digits source=digits " in done.stderr
    done = fpa("verify", tmp_path, cwd=tmp_path)
    assert "`python -m fpa publish` makes it" in done.stderr
