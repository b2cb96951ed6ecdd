"""EfficientNet-Lite0 with its norms folded away, and DINOv2, CLIP, VGG16 and LPIPS: networks with random weights
in the published files' formats.

The published files cannot be fetched here. What is known of them (names, numbers of tensors and
parameters) is compared with the networks that are built for them.
"""

import dataclasses
import math
import pickle
import warnings
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from hostile import Payload
from torch import nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_clip import CLIPVisual, FeatureExtractorCLIP
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torchvision import models

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.evaluation import evaluate, extractors, features
from fpa.evaluation.cross_check import Extraction
from fpa.evaluation.extractors import EXTRACTORS, base, library_networks, obtain
from fpa.evaluation.extractors.dinov2 import DINOv2Network, load_dinov2
from fpa.evaluation.extractors.efficientnet import MEAN, STD, load_lite
from fpa.evaluation.extractors.library_networks import (
    load_clip,
    load_lpips,
    load_vgg16,
    tensors_of_torchscript,
)
from fpa.evaluation.path_length import load_distance
from fpa.experiment.plan import Plan
from fpa.workflow.checks import check_before_start, check_ranking, to_fetch

CPU = torch.device("cpu")
VGG16, LPIPS = EXTRACTORS["vgg16"].files["state_dict"], EXTRACTORS["lpips_vgg16"].files


def images(n: int, size: int, seed: int = 0) -> torch.Tensor:
    """(n, 3, size, size) uint8"""
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)
    )


# EfficientNet-Lite0 ------------------------------------------------------------------------


# Odd sizes on the way have other paddings than even ones.
@pytest.mark.parametrize("size", [32, 72, 96])
def test_folded_norms_and_paddings_change_no_feature(size, tmp_path):
    about = tmp_path / "about.json"
    found = extractors.obtain("efficientnet_lite0-32px", None, about)
    path = found.checked_weights("state_dict", about)
    plain = EfficientNet.from_name("efficientnet-lite0", image_size=size).eval()
    plain.load_state_dict(torch.load(path, weights_only=True))
    folded = load_lite(path, size)
    assert not [part for part in folded.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    images = 255 * torch.rand((3, 3, size, size), generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (MEAN, STD))
    with torch.inference_mode():
        expected = plain.extract_features((images / 255 - mean) / std).mean((2, 3))
        found = folded(images)
        scale = expected.abs().max()
        assert (found - expected).abs().max() <= 2e-5 * scale
        assert (folded.logits(found) - plain._fc(expected)).abs().max() <= 1e-4


# DINOv2 -------------------------------------------------------------------------------------


def random_dinov2(width=128, depth=2, grid=5):
    torch.manual_seed(0)
    network = DINOv2Network(width, depth, 1 + grid * grid)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return network.eval()


@pytest.mark.parametrize(
    ("width", "depth", "tensors", "parameters"),
    # As the published files of B and L are described by those who audited them.
    [(768, 12, None, 86_580_480), (1024, 24, 343, 304_368_640)],
)
def test_dinov2_has_the_published_files_tensors(width, depth, tensors, parameters):
    with torch.device("meta"):
        state = DINOv2Network(width, depth, 1 + 37 * 37).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    assert tensors in (None, len(state))
    names = {"pos_embed", "mask_token", "patch_embed.proj.weight", "blocks.0.attn.qkv.bias"}
    assert {*names, "blocks.11.ls1.gamma", "blocks.3.mlp.fc2.weight", "norm.bias"} <= {*state}


def test_dinov2_is_torchs_transformer_with_its_layer_scales_folded_in():
    """torch's encoder layer has no LayerScale: scaling the layer before it is the same."""
    network = random_dinov2()
    layers = []
    for block in network.blocks:
        layer = nn.TransformerEncoderLayer(
            128, 2, 512, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
        )
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": block.attn["qkv"].weight,
                "self_attn.in_proj_bias": block.attn["qkv"].bias,
                "self_attn.out_proj.weight": block.ls1["gamma"][:, None]
                * block.attn["proj"].weight,
                "self_attn.out_proj.bias": block.ls1["gamma"] * block.attn["proj"].bias,
                "linear1.weight": block.mlp["fc1"].weight,
                "linear1.bias": block.mlp["fc1"].bias,
                "linear2.weight": block.ls2["gamma"][:, None] * block.mlp["fc2"].weight,
                "linear2.bias": block.ls2["gamma"] * block.mlp["fc2"].bias,
                **{
                    f"norm{i}.{k}": v
                    for i in (1, 2)
                    for k, v in block.get_submodule(f"norm{i}").state_dict().items()
                },
            }
        )
        layers.append(layer.eval())
    pixels = images(2, 70).float()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normed = (pixels / 255 - mean[:, None, None]) / std[:, None, None]
    # Patches row by row, each with the convolution's kernel as a matrix.
    patches = F.unfold(normed, 14, stride=14).transpose(1, 2)
    projection = network.patch_embed["proj"]
    x = patches @ projection.weight.flatten(1).T + projection.bias
    x = torch.cat([network.cls_token.expand(2, -1, -1), x], dim=1) + network.pos_embed
    for layer in layers:
        x = layer(x)
    with torch.no_grad():
        # Two blocks of float32 sums of 128 and 512 products.
        torch.testing.assert_close(network(pixels), network.norm(x[:, 0]), rtol=1e-3, atol=1e-4)


def cubic(x, a=-0.75):
    """The kernel of bicubic convolution (Keys 1981) with torch's parameter."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_dinov2s_position_codes_are_resized_as_by_the_official_code():
    """Bicubic with the scale (new + 0.1) / old, without antialiasing, by a slow loop."""
    network = random_dinov2(width=64, depth=0, grid=5)
    grid = network.pos_embed[0, 1:].detach().double().numpy().reshape(5, 5, 64)
    scale = (3 + 0.1) / 5
    weights = np.zeros((3, 5))
    for new in range(3):
        at = (new + 0.5) / scale - 0.5
        for tap in range(math.floor(at) - 1, math.floor(at) + 3):
            weights[new, min(max(tap, 0), 4)] += cubic(at - tap)
    expected = np.einsum("pi,qj,ijc->pqc", weights, weights, grid).reshape(9, 64)
    found = network._position_codes(3)[0].detach().numpy()
    np.testing.assert_allclose(found[1:], expected, atol=1e-5)
    np.testing.assert_array_equal(found[0], network.pos_embed[0, 0].detach().numpy())


@pytest.fixture
def small_dinov2(tmp_path, monkeypatch):
    """A folder with a small network in the place of S's file, and S's digest changed to its."""
    folder = tmp_path / "weights"
    folder.mkdir()
    path = folder / "dinov2_vits14_pretrain.pth"
    torch.save(random_dinov2(384, 1, 16).state_dict(), path)
    files = EXTRACTORS["dinov2_vits14"].files
    monkeypatch.setitem(files, "state_dict", files["state_dict"]._replace(sha256=file_digest(path)))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return path


def test_an_extractor_is_found_described_and_run(small_dinov2, tmp_path):
    about = tmp_path / "data" / "dinov2.json"
    extractors.obtain("dinov2_vits14", str(small_dinov2.parent), about)
    network = extractors.load(about, "clean", CPU)
    pixels = images(2, 32)
    stored = partial(features.as_stored, kind="array")
    (found,) = network.blocks(pixels.numpy(), stored, int)
    assert found.shape == (2, 384)
    resized = np.stack([network.resize(image.permute(1, 2, 0).numpy()) for image in pixels])
    expected = load_dinov2(small_dinov2)(torch.from_numpy(resized).permute(0, 3, 1, 2))
    # Another memory layout.
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-3, atol=1e-4)
    # The cross-check's half takes the same weights the same way, in torch-fidelity's loop.
    checked = Extraction(about, CPU)
    (theirs,) = checked.blocks(pixels.numpy(), stored, int)
    np.testing.assert_allclose(theirs, found, rtol=1e-3, atol=1e-4)
    assert checked.identity["weights_sha256"] == file_digest(small_dinov2)
    # The file itself.
    assert extractors.obtain("dinov2_vits14", str(small_dinov2), about).features == 384


def test_what_will_be_fetched_is_said_before_anything_starts(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tiny["evaluation"]["protocols"] = {"dinov2": {}, "clip": {}, "ppl": {}}
    tiny |= {"data": str(tmp_path / "data"), "results": str(tmp_path / "results")}
    assert to_fetch(Plan(tiny)) == [
        *("ViT-L-14-336px.pt", "dinov2_vitl14_pretrain.pth"),
        *("vgg16-397923af.pth", "weights-vgg16-lpips.pth"),
    ]


@pytest.mark.parametrize("name", sorted({*EXTRACTORS} - {"efficientnet_lite0"}))
def test_every_network_has_a_whole_digest_and_a_url_over_https(name):
    assert EXTRACTORS[name].downloads
    for file in EXTRACTORS[name].files.values():
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.url.startswith("https://")
        assert file.url.endswith(file.name)


# CLIP ---------------------------------------------------------------------------------------


class Archive(nn.Module):
    """What OpenAI's archives hold: the image half, and tensors of the text half."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.visual = CLIPVisual(32, 64, 2, 128, 16).visual.half()
        self.text_projection = nn.Parameter(torch.randn(8, 32).half())
        self.logit_scale = nn.Parameter(torch.tensor(4.6))
        self.register_buffer("vocab_size", torch.tensor([1, 2, 3]))
        self.ln_final = nn.LayerNorm(8)

    def forward(self, x):
        return self.visual(x)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "ViT-B-32.pt"
    with warnings.catch_warnings():
        # torch.jit is deprecated, but it is how these files are written.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(Archive().eval(), torch.randn(1, 3, 64, 64).half())
        torch.jit.save(traced, path)
    return path


def test_the_tensors_of_an_archive_are_read_without_running_it(archive, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = torch.jit.load(archive, map_location="cpu").state_dict()
    monkeypatch.setattr(torch.jit, "load", None)
    found = tensors_of_torchscript(archive)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_code_in_an_archive_is_not_run(archive, tmp_path):
    bad, trace = tmp_path / "bad.pt", tmp_path / "was-run"
    with zipfile.ZipFile(bad, "w") as file:
        file.writestr("x/data.pkl", pickle.dumps(Payload(open, str(trace), "w"), protocol=2))
    with pytest.raises(UserError, match="which is no tensor"):
        tensors_of_torchscript(bad)
    assert not trace.exists()
    for content in (b"no zip", archive.read_bytes()[:1000]):
        bad.write_bytes(content)
        with pytest.raises(UserError, match="is not a TorchScript archive of weights"):
            tensors_of_torchscript(bad)


def test_clips_features_are_torch_fidelitys(archive):
    """At the network's own size, where torch-fidelity's resize leaves the pixels alone."""
    pixels = images(2, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FeatureExtractorCLIP(
            "clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(archive)
        )
    with torch.no_grad():
        (expected,) = theirs(pixels)
        found = load_clip(archive)(pixels.float())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# VGG16 and LPIPS ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """VGG16's file with random numbers. Its wide layers repeat one row, and so take no space."""
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in models.vgg16().state_dict().items()}

    def tensor(name, shape):
        if len(shape) == 2:
            return (torch.randn(shape[1]) / shape[1] ** 0.5).expand(shape)
        # He et al.'s scale, so that nothing vanishes on the way.
        return (
            torch.randn(shape) * (2 / math.prod(shape[1:])) ** 0.5
            if len(shape) > 1
            else torch.randn(shape)
        )

    path = tmp_path_factory.mktemp("vgg") / VGG16.name
    torch.save({name: tensor(name, shape) for name, shape in shapes.items()}, path)
    return path


def test_vgg16s_features_are_torch_fidelitys(vgg, monkeypatch):
    pixels = images(1, 224)
    # Drawing 138 million numbers that are replaced at once takes seconds.
    for name in ("normal_", "kaiming_uniform_", "kaiming_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)
    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=vgg)
    with torch.no_grad():
        (expected,) = theirs(pixels)
        found = load_vgg16(vgg)(pixels.float())
    assert found.shape == (1, 4096)
    assert (found > 0).float().mean() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


LPIPS_LAYERS = {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}
"""Places in torchvision's list of layers whose outputs LPIPS compares, and their channels."""


def test_lpips_is_its_definition(vgg, tmp_path):
    """Weighted squared differences of unit feature vectors, averaged over places, summed over layers."""
    torch.manual_seed(1)
    weights = {
        f"lin{i}.model.1.weight": torch.rand(1, channels, 1, 1)
        for i, channels in enumerate(LPIPS_LAYERS.values())
    }
    torch.save(weights, tmp_path / "lpips.pth")
    distance = load_lpips(vgg, tmp_path / "lpips.pth", 32)
    one, two = images(2, 32, 1).float(), images(2, 32, 2).float()
    with torch.device("meta"):
        network = models.vgg16()
    network.load_state_dict(torch.load(vgg, weights_only=True), assign=True)
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    x, expected = [(pixels / 127.5 - 1 - shift) / scale for pixels in (one, two)], torch.zeros(2)
    with torch.no_grad():
        for place, layer in enumerate(network.features[:30]):
            x = [layer(part) for part in x]
            if place in LPIPS_LAYERS:
                i = list(LPIPS_LAYERS).index(place)
                a, b = (part / part.norm(dim=1, keepdim=True) for part in x)
                weighted = weights[f"lin{i}.model.1.weight"] * (a - b) ** 2
                expected += weighted.sum(dim=1).mean(dim=(1, 2))
        found = distance(one, two).flatten()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert VGG16.find(str(vgg), tmp_path)[0] == vgg


# What ranks what, and the path length -----------------------------------------------------------


class Projected:
    """A model that says which network it trains with; nothing of it is built."""

    trains_with = ("efficientnet_lite0",)

    def __init__(self, image_size: int, channels: int, width: int = 8) -> None: ...

    def step(self, real): ...

    def to(self, device): ...

    def state_dict(self): ...

    def load_state_dict(self, state): ...


def test_a_model_is_not_ranked_by_a_network_that_it_trains_with(tiny, monkeypatch):
    name = f"{__name__}:Projected"
    tiny["models"] = {"projected": {"class": name}}
    (run,) = Plan(tiny).runs
    protocols = {name: evaluate.resolve(name) for name in ("paper", "clip", "quick")}
    check_ranking(run, [protocols["paper"], protocols["clip"]])
    refused = "trains with efficientnet_lite0, so protocol quick, .* cannot rank it"
    with pytest.raises(UserError, match=refused):
        check_ranking(run, protocols.values())
    # It is a check of every experiment, and of models that start from such a one.
    with pytest.raises(UserError, match=refused):
        check_before_start(Plan(tiny))
    refiner = dataclasses.replace(
        run, base=run, model=dataclasses.replace(run.model, class_="fpa.models:FPA", name="refiner")
    )
    with pytest.raises(UserError, match=r"models.refiner: .*Projected trains with"):
        check_ranking(refiner, protocols.values())
    monkeypatch.setattr(Projected, "trains_with", ("efficientnet_lite",))
    with pytest.raises(UserError, match=r"trains_with: unknown extractor.*did you mean"):
        check_ranking(run, protocols.values())


def test_lpips_is_found_described_and_loaded_from_its_two_files(tmp_path, monkeypatch):
    """What it computes is tested above; a file that is not the published one is refused."""
    for file in LPIPS.values():
        (tmp_path / file.name).write_bytes(b"x")
    about = tmp_path / "lpips_vgg16.json"
    with pytest.raises(UserError, match="has SHA-256"):
        obtain("lpips_vgg16", str(tmp_path), about)
    published_digests = {file.name: file.sha256 for file in LPIPS.values()}
    monkeypatch.setattr(base, "file_digest", lambda path: published_digests[path.name])
    obtain("lpips_vgg16", str(tmp_path), about)
    asked = []
    monkeypatch.setattr(
        library_networks, "load_lpips", lambda *given: asked.extend(given) or nn.Identity()
    )
    load_distance(about, torch.device("cpu"))
    assert asked == [*(tmp_path / file.name for file in LPIPS.values()), 64]
    published_digests[VGG16.name] = "another"
    with pytest.raises(UserError, match="was changed"):
        load_distance(about, torch.device("cpu"))


def test_what_needs_features_takes_no_paths(tiny, tmp_path):
    for protocols, message in (
        ({"ppl": {}}, "evaluation.protocols: ppl alone cannot be"),
        ({"quick": {}, "own": {"extractor": "lpips_vgg16"}}, "takes pairs, found 'clean'"),
        ({"quick": {}, "own": {"resize": "pairs", "extractor": "vgg16"}}, "takes clean"),
    ):
        tiny["evaluation"]["protocols"] = protocols
        with pytest.raises(UserError, match=message):
            Plan(tiny)
    tiny["evaluation"]["protocols"] = {"quick": {"n_fake": 40}, "ppl": {}}
    experiment = Plan(tiny)
    assert experiment.sample_count == 40  # the 50,000 paths take no samples
    tiny["training"]["watch_protocol"] = "ppl"
    with pytest.raises(UserError, match="watch_protocol: ppl measures paths"):
        Plan(tiny)
    with pytest.raises(UserError, match="which images do not show"):
        evaluate.evaluate(
            np.zeros((4, 3, 8, 8), np.uint8), tmp_path, "ppl", evaluate.EvaluationContext(tmp_path)
        )
    (run, *_) = experiment.runs
    model = dataclasses.replace(run.model, class_=f"{__name__}:TrainedWithVGG16")
    with pytest.raises(UserError, match="trains with vgg16, so protocol ppl"):
        check_ranking(dataclasses.replace(run, model=model), experiment.protocols.values())


class TrainedWithVGG16(Projected):
    trains_with = ("vgg16",)
