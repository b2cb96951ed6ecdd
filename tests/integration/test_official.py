"""An imported checkpoint through the workflow: a row of the table, and the base of a U-Net stage."""

import official
import pandas as pd
import torch
from conftest import RECIPE, fpa, snakemake

ARGS = {
    **official.ARGS,
    "greyscale": True,
    "latent_dim": 8,
    "fmap_max": 8,
    "grad_cummulate_every": 1,
}


def test_an_imported_run_has_a_row_in_the_table(small, tmp_path):
    torch.manual_seed(0)
    words = official.write(tmp_path, official.contents(official.gan(ARGS)), ARGS)
    assert fpa("import-official", *words, cwd=tmp_path).returncode == 0
    small["models"] = {
        "official": {"run": "run", "label": "published"},
        "refined": {
            "class": "fpa.models:FPAUNet",
            "base": "official",
            "settings": {"unet": {"max_multiplier": 1}, "recipe": RECIPE},
        },
    }
    done = snakemake(small, tmp_path, "results/tiny/tables/scores.csv", "results/tiny/report.html")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "results/tiny/tables/scores.csv")
    (row,) = table[table["model"] == "official"].to_dict("records")
    assert row["kimg"] == 0.02
    assert row["fid"] > 0
    assert set(table["model"]) == {"official", "refined"}
    assert "published" in (tmp_path / "results/tiny/report.html").read_text()
    again = snakemake(small, tmp_path, "-n", "results/tiny/tables/scores.csv")
    assert "Nothing to be done" in again.stdout + again.stderr
