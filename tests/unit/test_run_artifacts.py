"""What figures need of a finished generator: a file name, and a function, for each kind of it."""

import numpy as np
import pytest
import torch

from fpa.core import artifacts
from fpa.evaluation.run_artifacts import ARTIFACTS, RunArtifact


def test_figures_ask_for_the_files_that_are_made():
    shown = {"checkpoint": "best", "seed": 3}
    assert ARTIFACTS["paintings"].file("best", 9, seed=3) == artifacts.paintings(**shown, count=9)
    assert ARTIFACTS["live"].file("best", 9, seed=3) == artifacts.live_painter(**shown, count=9)
    statistics = artifacts.step_statistics(**shown, count=256)
    assert ARTIFACTS["statistics"].file("best", 256, seed=3) == statistics
    assert statistics == "statistics-best-n256-seed3.npz"
    interpolations = artifacts.interpolations(**shown, rows=3, frames=12)
    assert ARTIFACTS["interpolations"].file("best", 3, 12, seed=3) == interpolations
    assert interpolations == "interpolations-best-3x12-seed3.npy"


@pytest.mark.parametrize("kind", ["npy", "npz", "bin"])
def test_what_a_new_artifacts_function_returns_becomes_its_file(kind, tmp_path):
    def make(model, count, frames, seed, device):
        values = np.arange(count * frames) + seed + model
        return {"npy": values, "npz": {"values": values}, "bin": bytes(values.tolist())}[kind]

    artifact = RunArtifact("ramp", kind, make)
    path = tmp_path / artifact.file("last", 2, 3, seed=10)
    assert path.name == f"ramp-last-2x3-seed10.{kind}"
    artifact.save(path, 100, (2, 3), 10, torch.device("cpu"))
    read = {
        "npy": np.load,
        "npz": lambda path: np.load(path)["values"],
        "bin": lambda path: np.frombuffer(path.read_bytes(), np.uint8),
    }
    np.testing.assert_array_equal(read[kind](path), np.arange(6) + 110)
