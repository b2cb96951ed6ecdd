"""What figures need of a finished generator: a file name and a function."""

import numpy as np
import pytest
import torch

from fpa.evaluation.run_artifacts import RunArtifact


@pytest.mark.parametrize("kind", ["npy", "npz", "bin"])
def test_what_a_new_artifacts_function_returns_becomes_its_file(kind, tmp_path):
    def make(model, count, frames, seed, device):
        values = np.arange(count * frames) + seed + model
        return {"npy": values, "npz": {"values": values}, "bin": bytes(values.tolist())}[kind]

    artifact = RunArtifact("ramp", kind, make)
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
