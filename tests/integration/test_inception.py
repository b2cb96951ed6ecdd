"""The Inception path: both weights files, all four ways through it, both protocols.

No weights can be fetched here: a randomly initialised network stands in the real files' formats.
"""

import functools
import json
import pickle
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid.downloads_helper import inception_url
from cleanfid.inception_pytorch import FID_WEIGHTS_URL
from hostile import Payload
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from fpa import cli
from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.data import download
from fpa.evaluation import extractors, features
from fpa.evaluation.cross_check import Extraction
from fpa.evaluation.extractors import EXTRACTORS
from fpa.evaluation.protocols import Space

CPU = torch.device("cpu")
TORCHSCRIPT, STATE_DICT = "inception-2015-12-05.pt", "pt_inception-2015-12-05-6726825d.pth"


class Trunk(nn.Module):
    """299 px images in [-1, 1] -> features, by torch-fidelity's layers."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        n = self.network
        for layer in (n.Conv2d_1a_3x3, n.Conv2d_2a_3x3, n.Conv2d_2b_3x3, n.MaxPool_1):
            x = layer(x)
        for layer in (n.Conv2d_3b_1x1, n.Conv2d_4a_3x3, n.MaxPool_2):
            x = layer(x)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(n, f"Mixed_{name}")(x)
        return n.AvgPool(x).flatten(1)


class File(nn.Module):
    """What the TorchScript file offers: `layers`, and a call that resizes as TensorFlow 1 did."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x, return_features: bool = False):
        return self.layers((along(along(x, 2), 3) - 128) / 128)


def along(x: Tensor, dim: int) -> Tensor:
    """Linear interpolation to 299 along a dimension, pixel i at i * size / 299."""
    size = x.shape[dim]
    place = torch.arange(299, device=x.device) * (size / 299)
    low = place.floor().long()
    share = (place - low).view([299 if d == dim else 1 for d in range(4)])
    high = (low + 1).clamp(max=size - 1)
    return x.index_select(dim, low) * (1 - share) + x.index_select(dim, high) * share


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with both files of one random network."""
    path = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    # The constructor wants a file to read: the state dict of a network made without one.
    original = torch.load
    torch.load = lambda *_, **__: None
    load_state = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path="none"
        ).eval()
    finally:
        torch.load, FeatureExtractorInceptionV3.load_state_dict = original, load_state
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            # Activations that neither die nor explode on the way.
            nn.init.kaiming_normal_(layer.weight)
    torch.save(network.state_dict(), path / STATE_DICT)
    with torch.no_grad():
        layers = torch.jit.trace(Trunk(network), torch.zeros(1, 3, 299, 299), check_trace=False)
    torch.jit.script(File(layers)).save(str(path / TORCHSCRIPT))
    return path


@pytest.fixture
def known(folder, tmp_path, monkeypatch):
    """The stand-in's digests as if they were the published ones, and no caches."""
    files = EXTRACTORS["inception_v3"].files
    for kind, file in {**files}.items():
        sha256 = file_digest(folder / file.name)
        monkeypatch.setitem(files, kind, file._replace(sha256=sha256))
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    return files


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise UserError("no route to host")

    monkeypatch.setattr(download, "fetch", refuse)


def images(n: int, seed: int = 0, low: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, 256, (n, 3, 16, 16), dtype=np.uint8)


def test_four_ways_through_one_network(known, folder, tmp_path, offline):
    extractors.obtain("inception_v3", str(folder), tmp_path / "e.json")
    found = {}
    for resize in ("clean", "pytorch", "tensorflow", "torch_fidelity"):
        out = tmp_path / f"{resize}.npy"
        space = Space("inception_v3", resize, "png")
        features.compute(images(3), space, tmp_path / "e.json", CPU, out, {})
        found[resize] = features.load(out)
        assert found[resize].values.shape == (3, 2048)
        assert found[resize].values.std() > 0
    assert found["torch_fidelity"].logits.shape == (3, 1008)

    def apart(one, two):
        a, b = found[one].values, found[two].values
        return np.linalg.norm(a - b) / np.linalg.norm(a)

    # Two libraries, two files, one resize: the same numbers. Other resizes: other numbers.
    assert apart("tensorflow", "torch_fidelity") < 1e-4
    assert apart("clean", "torch_fidelity") > 1e-3
    assert apart("pytorch", "tensorflow") > 1e-3
    assert apart("clean", "pytorch") > 1e-3


@pytest.mark.parametrize(("protocol", "kind"), [("paper", "jpeg"), ("clean", "array")])
def test_both_protocols_from_images_to_scores(protocol, kind, known, folder, tmp_path, offline):
    """The commands that the workflow runs, in this process, whose digests are replaced."""
    resize = {"paper": "pytorch", "clean": "clean"}[protocol]
    np.save(tmp_path / "real.npy", images(12, 0))
    np.save(tmp_path / "fake.npy", images(10, 1, low=100))

    def run(*arguments):
        assert cli.main([str(a) for a in arguments]) == 0

    run("extractor", "inception_v3", "--weights", folder, "--out", tmp_path / "e.json")
    paths = []
    for way in (resize, "tensorflow", "torch_fidelity"):
        for side in ("fake", "real"):
            paths.append(tmp_path / f"{side}.{way}.npy")
            run(
                *("features", tmp_path / f"{side}.npy", "--extractor", tmp_path / "e.json"),
                *("--space", f"inception_v3.{way}.{kind}", "--device", "cpu", "--out", paths[-1]),
            )
    run_config = {"dataset": {"name": "d", "resolution": 16}, "model": {"name": "m"}, "seed": 0}
    summary = {"run": run_config, "digest": "0" * 64, "kimg": 1, "best": None, "parameters": {}}
    summary["images_sha256"] = features.load(paths[1]).info.images_sha256
    (tmp_path / "train.json").write_text(json.dumps(summary))
    run(
        *("score", tmp_path, "--fake", paths[0], "--real", paths[1], "--check", *paths[2:]),
        *("--metrics", "fid", "kid", "inception_score", "precision", "recall"),
        *("--groups", 6, "--protocol", protocol, "--out", tmp_path / "s.json"),
    )
    score = json.loads((tmp_path / "s.json").read_text())
    assert (score["resize"], score["format"], score["n_real"], score["n_fake"]) == (
        *(resize, kind, 12, 10),
    )
    found = score["metrics"]
    assert 0 <= found["fid_difference"]["value"] < 1e-3
    assert found["fid"]["value"] > 0
    assert found["inception_score"]["value"] >= 1
    # The score is in the protocol's space, not in the check's.
    assert found["fid"]["value"] != pytest.approx(found["fid_torch_fidelity"]["value"], rel=1e-4)


def test_files_are_found_in_the_usual_caches(known, folder, tmp_path, offline):
    places = {
        TORCHSCRIPT: tmp_path / "empty" / "clean-fid" / TORCHSCRIPT,
        # torch-fidelity's name of the same file.
        STATE_DICT: tmp_path / "empty/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth",
    }
    for name, place in places.items():
        place.parent.mkdir(parents=True)
        place.symlink_to(folder / name)
    about = extractors.obtain("inception_v3", None, tmp_path / "new" / "e.json")
    assert set(about.weights) == {"torchscript", "state_dict"}


def test_missing_files_are_listed_before_anything_is_downloaded(known, folder, tmp_path):
    network = EXTRACTORS["inception_v3"]
    assert network.downloads
    assert network.missing_files(None, tmp_path) == [TORCHSCRIPT, STATE_DICT]
    assert network.missing_files(str(folder), tmp_path) == []
    (tmp_path / TORCHSCRIPT).symlink_to(folder / TORCHSCRIPT)
    assert network.missing_files(None, tmp_path) == [STATE_DICT]
    assert network.missing_files(str(tmp_path / "nothing"), tmp_path) == [TORCHSCRIPT, STATE_DICT]


def test_a_folder_that_all_can_write_to_is_not_searched(known, folder, tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    for name in (TORCHSCRIPT, STATE_DICT):
        (shared / name).symlink_to(folder / name)
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    missing = EXTRACTORS["inception_v3"].missing_files(None, tmp_path / "data")
    assert missing == [TORCHSCRIPT, STATE_DICT]


@pytest.mark.parametrize("way", ["pytorch", "torch_fidelity"])
@pytest.mark.parametrize("checked", [True, False])
def test_code_in_a_weights_file_is_not_run(known, way, checked, tmp_path):
    path = tmp_path / "harmful.pth"
    torch.save({"weights": Payload(Path.touch, tmp_path / "harmed")}, path)
    about = {"name": "inception_v3", "network": "inception_v3", "input_size": 299, "features": 2048}
    about["weights"] = {"state_dict": {"path": str(path), "sha256": file_digest(path)}}
    (tmp_path / "e.json").write_text(json.dumps(about))
    if not checked:
        # Even if the file had the right digest.
        known["state_dict"] = known["state_dict"]._replace(sha256=file_digest(path))
    expected = UserError if checked else pickle.UnpicklingError
    load = functools.partial(extractors.load, resize=way) if way == "pytorch" else Extraction
    with pytest.raises(expected):
        load(tmp_path / "e.json", device=CPU)
    assert not (tmp_path / "harmed").exists()


def test_a_torchscript_file_is_loaded_only_with_its_whole_digest(known, folder, tmp_path, offline):
    """Such a file is a program, and a description of weights that was received names any."""
    path = tmp_path / TORCHSCRIPT
    path.write_bytes((folder / TORCHSCRIPT).read_bytes() + b"more")
    extractors.obtain("inception_v3", str(folder), tmp_path / "e.json")
    about = json.loads((tmp_path / "e.json").read_text())
    about["weights"]["torchscript"] = {"path": str(path), "sha256": file_digest(path)}
    (tmp_path / "e.json").write_text(json.dumps(about))
    for resize in ("clean", "tensorflow"):
        with pytest.raises(UserError, match="it is not loaded"):
            extractors.load(tmp_path / "e.json", resize, CPU)


def test_published_files_are_the_libraries():
    files = EXTRACTORS["inception_v3"].files
    assert files["torchscript"].url == inception_url
    assert files["state_dict"].url == FID_WEIGHTS_URL
    # The first eight digits of its digest are in the published name of the file.
    assert files["state_dict"].sha256[:8] in STATE_DICT


def test_files_are_downloaded_and_checked(known, folder, tmp_path, monkeypatch):
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for kind, file in {**known}.items():
        url = f"http://127.0.0.1:{server.server_port}/{file.name}"
        known[kind] = file._replace(url=url)
    about = extractors.obtain("inception_v3", None, tmp_path / "new" / "e.json")
    for kind, file in known.items():
        assert about.weights[kind].path == tmp_path / "new" / file.name
    known["state_dict"] = known["state_dict"]._replace(sha256="0" * 64)
    with pytest.raises(UserError, match=r"with SHA256 .*expected 0000.*set inception_weights"):
        extractors.obtain("inception_v3", None, tmp_path / "other" / "e.json")
    assert [p.name for p in (tmp_path / "other").glob("*.pt*")] == [TORCHSCRIPT]
    server.shutdown()


def test_files_that_cannot_be_had_say_what_to_do(known, folder, tmp_path, offline):
    with pytest.raises(UserError, match=r"no route to host.*set inception_weights to a folder"):
        extractors.obtain("inception_v3", None, tmp_path / "e.json")
    with pytest.raises(UserError, match=f"there is no {TORCHSCRIPT} in the folder"):
        extractors.obtain("inception_v3", str(tmp_path / "nothing"), tmp_path / "e.json")
    (tmp_path / TORCHSCRIPT).write_bytes(b"something else")
    with pytest.raises(UserError, match=r"has SHA-256 .*expected"):
        extractors.obtain("inception_v3", str(tmp_path), tmp_path / "e.json")


def test_weights_that_changed_are_refused(known, folder, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for name in (TORCHSCRIPT, STATE_DICT):
        (copies / name).write_bytes((folder / name).read_bytes())
    extractors.obtain("inception_v3", str(copies), tmp_path / "e.json")
    (copies / STATE_DICT).write_bytes(b"something else")
    for resize in ("pytorch", "torch_fidelity"):
        space = Space("inception_v3", resize, "array")
        arguments = (images(2), space, tmp_path / "e.json", CPU, tmp_path / "f.npy", {})
        with pytest.raises(UserError, match="missing or was changed"):
            features.compute(*arguments)
