"""Exports, checkpoints, weights and configurations made to do harm: each refused in one line."""

import json
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from conftest import fpa_ok
from hostile import Payload, contained

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.evaluation import extractors
from fpa.evaluation.extractors import EfficientNetLite0
from fpa.experiment.config import check_config, read_config
from fpa.experiment.plan import Plan
from fpa.runs.folder import RunFolder
from fpa.runs.generators import export, restore
from fpa.runs.run import build_model

# Exports -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[dict[str, Any], bytes]:
    """An export's configuration and weights."""
    place = tmp_path_factory.mktemp("exported")
    model = {"class": "baselines.dcgan:DCGAN", "settings": {"latent_dim": 8, "width": 4}}
    config = {
        "experiment": "x",
        "datasets": {"digits": {"resolution": 16, "channels": 1}},
        "models": {"dcgan": model},
    }
    (run,) = Plan(config).runs
    torch.manual_seed(0)
    export(build_model(run), run, "last", place)
    about = json.loads((place / "generator.json").read_text())
    return about, (place / "generator.safetensors").read_bytes()


def tensors_of(weights: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and what stands behind it."""
    size = struct.unpack("<Q", weights[:8])[0]
    return json.loads(weights[8 : 8 + size]), weights[8 + size :]


def file_of(header: dict[str, Any] | bytes, data: bytes, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def changed(weights: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The same data under a header in which an entry was changed."""
    header, data = tensors_of(weights)
    change(header)
    return file_of(header, data)


def first(header: dict[str, Any]) -> dict[str, Any]:
    return next(entry for entry in header.values() if entry.get("dtype") == "F32")


def all_at_the_start(header: dict[str, Any]) -> None:
    for name, entry in header.items():
        if name != "__metadata__":
            low, high = entry["data_offsets"]
            entry["data_offsets"] = [0, high - low]


WEIGHTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a header of 16 exabytes": (lambda w: file_of(b"{}", b"", 2**64 - 1), "cannot read"),
    "a header of a gigabyte": (lambda w: file_of(b"{}", b"", 1 << 30), "cannot read"),
    "a header that is no JSON": (lambda w: file_of(b"{" * 100, b""), "cannot read"),
    "a header of brackets": (lambda w: file_of(b"[" * 1_000_000, b""), "cannot read"),
    "an empty header": (lambda w: file_of({}, b""), "does not fit .* there is no"),
    "tensors that overlap": (lambda w: changed(w, all_at_the_start), "cannot read"),
    "a tensor behind the end": (
        lambda w: changed(w, lambda h: first(h).update(data_offsets=[0, 1 << 40])),
        "cannot read",
    ),
    "a tensor that ends before it begins": (
        lambda w: changed(w, lambda h: first(h).update(data_offsets=[8, 0])),
        "cannot read",
    ),
    "a shape larger than its data": (
        lambda w: changed(w, lambda h: first(h).update(shape=[1 << 40])),
        "cannot read",
    ),
    "a shape without end": (
        lambda w: changed(w, lambda h: first(h).update(shape=[1 << 32, 1 << 32])),
        "cannot read",
    ),
    "a type that does not exist": (
        lambda w: changed(w, lambda h: first(h).update(dtype="PICKLE")),
        "cannot read",
    ),
    "whole numbers instead of floats": (
        lambda w: changed(w, lambda h: first(h).update(dtype="I32")),
        "is torch.int32",
    ),
    "another name": (
        lambda w: changed(
            w, lambda h: h.update({"__class__": h.pop(next(n for n in h if "." in n))})
        ),
        "does not fit",
    ),
    "half of the file": (lambda w: w[: len(w) // 2], "cannot read"),
    "nothing": (lambda w: b"", "cannot read"),
    "a pickle": (lambda w: pickle.dumps(Payload(Path.touch, Path("canary"))), "cannot read"),
}


def write_export(folder: Path, about: dict[str, Any], weights: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "generator.safetensors").write_bytes(weights)
    digest = file_digest(folder / "generator.safetensors")
    (folder / "generator.json").write_text(json.dumps({**about, "weights_sha256": digest}))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working directory, where a file `canary` would be left."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(place: Path, call: Callable[[], Any]) -> str:
    with contained(place, place / "into"), pytest.raises(UserError) as refused:
        call()
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    return message


def matches(message: str, pattern: str) -> None:
    __tracebackhide__ = True
    with pytest.raises(UserError, match=pattern):
        raise UserError(message)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_hostile_weights_of_an_export(kind, exported, place):
    about, weights = exported
    change, message = WEIGHTS[kind]
    write_export(place / "export", about, change(weights))
    matches(refusal(place, lambda: restore(place / "export")), message)


def of_run(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda about: {**about, "run": {**about["run"], **more}}


def of_model(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda about: of_run(model={**about["run"]["model"], **more})(about)


def of_dataset(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda about: of_run(dataset={**about["run"]["dataset"], **more})(about)


EXPORTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a function of the system": (of_model(**{"class": "os:system"}), "names the class os:system"),
    "eval": (of_model(**{"class": "builtins:eval"}), "names the class builtins:eval"),
    "a module beside it": (of_model(**{"class": "stranger:X"}), "names the class stranger:X"),
    "a name like this project's": (of_model(**{"class": "fpa_models:X"}), "names the class"),
    "a path": (of_model(**{"class": "../stranger:X"}), "names no class"),
    "something of this project that is no model": (
        of_model(**{"class": "fpa.core.files:locked"}),
        "has no class 'locked'",
    ),
    "a shell's command": (of_model(**{"class": "a:B; touch canary"}), "names no class"),
    "a class that is a list": (of_model(**{"class": ["os"]}), "not a resolved run"),
    "settings that are a list": (of_model(settings=[1]), "not a resolved run"),
    "an unknown setting": (of_model(settings={"__class__": 1}), "unknown setting"),
    "a width of a billion": (
        of_model(settings={"latent_dim": 8, "width": 1_000_000_000}),
        "does not fit|cannot be built",
    ),
    "a latent of a billion": (
        of_model(settings={"latent_dim": 1_000_000_000, "width": 4}),
        "does not fit|cannot be built",
    ),
    "a width without end": (
        of_model(settings={"latent_dim": 8, "width": 10**30}),
        "does not fit|cannot be built",
    ),
    "an image of a million px": (of_dataset(resolution=1 << 20), "not a resolved run"),
    "a thousand channels": (of_dataset(channels=1000), "not a resolved run"),
    "no run": (lambda about: {"weights_sha256": "0"}, "not an export's configuration"),
    "a list": (lambda about: [1], "not an export's configuration"),
    "a run that is a text": (lambda about: {**about, "run": "run"}, "not a resolved run"),
    "another argument": (of_run(__class__="x"), "not a resolved run"),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_hostile_configuration_of_an_export(kind, exported, place, monkeypatch):
    about, weights = exported
    change, message = EXPORTS[kind]
    write_export(place, about, weights)
    found = change(json.loads((place / "generator.json").read_text()))
    (place / "generator.json").write_text(json.dumps(found))
    (place / "stranger.py").write_text("open('canary', 'w')\nclass X: pass\n")
    monkeypatch.syspath_prepend(place)
    matches(refusal(place, lambda: restore(place)), message)


def test_a_configuration_of_an_export_that_is_no_json(exported, place):
    for text in ("[" * 100_000, "", "{", "nul", '{"run": ' + "9" * 10_000 + "}"):
        (place / "generator.json").write_text(text)
        matches(refusal(place, lambda: restore(place)), "is not valid JSON")


def test_images_of_weights_that_are_nan_are_counted(exported, place):
    about, weights = exported
    tensors = safetensors.torch.load(weights)
    whole = {
        name: value * float("nan") for name, value in tensors.items() if value.is_floating_point()
    }
    write_export(place, about, safetensors.torch.save({**tensors, **whole}))
    fpa_ok("sample", ".", "--count", "3", "--out", "s.npy", "--device", "cpu", cwd=place)
    assert json.loads((place / "s.json").read_text())["not_finite"] == [0, 1, 2]


# Checkpoints -------------------------------------------------------------------------------------


def saved(value: Any, path: Path, **options: Any) -> None:
    torch.save(value, path, **options)


def repacked(path: Path, **about: Any) -> None:
    """An honest checkpoint packed again with other names, or compressed."""
    saved({"step": 1, "x": torch.zeros(1 << 22)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    kind = about.get("compression", zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in parts.items():
            archive.writestr(about.get("prefix", "") + name, data)


def scripted(path: Path) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))


def large(path: Path) -> None:
    """A tensor that says to be of more than its bytes."""
    saved({"x": torch.zeros(1)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            # The pickle's size of the storage and of the tensor.
            archive.writestr(name, data.replace(b"K\x01", b"J\xff\xff\xff\x7f"))


SHELL = "touch canary"
CHECKPOINTS: dict[str, Callable[[Path], Any]] = {
    "os.system": lambda p: saved(Payload(os.system, SHELL), p),
    "os.system inside of a state": lambda p: saved({"model": {"w": Payload(os.system, SHELL)}}, p),
    "subprocess": lambda p: saved(Payload(subprocess.check_output, ["touch", "canary"]), p),
    "eval": lambda p: saved(Payload(eval, "open('canary', 'w')"), p),
    "exec": lambda p: saved(Payload(exec, "open('canary', 'w')"), p),
    "getattr": lambda p: saved(Payload(getattr, "x", "upper"), p),
    "a file": lambda p: saved(Payload(open, "canary", "w"), p),
    "a path": lambda p: saved(Payload(Path.touch, Path("canary")), p),
    "another torch.load": lambda p: saved(Payload(torch.load, "other.pt"), p),
    "torch.hub": lambda p: saved(Payload(torch.hub.load, "a/b", "c"), p),
    "a class of this project": lambda p: saved(Payload(restore, "x"), p),
    "the old format of torch": lambda p: saved(
        Payload(os.system, SHELL), p, _use_new_zipfile_serialization=False
    ),
    "a bare pickle": lambda p: p.write_bytes(pickle.dumps(Payload(os.system, SHELL))),
    "a pickle by hand": lambda p: p.write_bytes(b"cos\nsystem\n(S'touch canary'\ntR."),
    "names that climb": lambda p: repacked(p, prefix="../../canary/"),
    "compressed parts": lambda p: repacked(p, compression=zipfile.ZIP_DEFLATED),
    "a program of TorchScript": scripted,
    "a tensor larger than its bytes": large,
    "a list": lambda p: saved([1, 2], p),
    "a text": lambda p: saved("state", p),
    "noise": lambda p: p.write_bytes(bytes(range(256)) * 99),
    "nothing": lambda p: p.write_bytes(b""),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_hostile_checkpoint(kind, place):
    state = place / "state"
    state.mkdir()
    CHECKPOINTS[kind](state / "step-000000001.pt")
    message = refusal(place, lambda: RunFolder(place).load_checkpoint())
    matches(message, "no checkpoint in .* can be read; delete the folder to train afresh")


def test_a_cut_checkpoint_gives_way_to_the_one_before(place):
    RunFolder(place).save_checkpoint(1, {"step": 1})
    RunFolder(place).save_checkpoint(2, {"step": 2, "x": torch.zeros(1000)})
    newest = place / "state" / "step-000000002.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert RunFolder(place).load_checkpoint() == {"step": 1}


# Weights of extractors ---------------------------------------------------------------------------


def test_hostile_weights_of_an_extractor(place):
    path = place / "weights.pth"
    saved(Payload(os.system, SHELL), path)
    about = {
        "name": "x",
        "network": "efficientnet_lite0",
        "input_size": 32,
        "features": 1280,
        "weights": {"state_dict": {"path": str(path), "sha256": file_digest(path)}},
    }
    (place / "e.json").write_text(json.dumps(about))
    load = lambda: extractors.load(place / "e.json", "clean", torch.device("cpu"))  # noqa: E731
    matches(refusal(place, load), "distances would not be comparable")
    matches(refusal(place, lambda: EfficientNetLite0().load(path, 32, "clean")), "expected")
    for text in ('{"weights": 3}', "[]", "[" * 100_000, '{"weights": {}}'):
        (place / "e.json").write_text(text)
        matches(refusal(place, load), "another version|not valid JSON")


# Configurations ----------------------------------------------------------------------------------

HONEST = """
experiment: x
datasets: {digits: {resolution: 16}}
models: {dcgan: {class: "baselines.dcgan:DCGAN"}}
"""


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


CONFIGURATIONS: dict[str, tuple[str | bytes, str]] = {
    "a call of os.system": (
        "experiment: !!python/object/apply:os.system ['touch canary']",
        "not valid YAML: could not determine a constructor",
    ),
    "a new object": ("experiment: !!python/object/new:os.system ['x']", "not valid YAML"),
    "the name of a function": ("experiment: !!python/name:os.system", "not valid YAML"),
    "a module": ("experiment: !!python/module:os", "not valid YAML"),
    "a tag of its own": ("experiment: !include /etc/passwd", "not valid YAML"),
    "ten to the ninth laughs": (laughs(9), "more than 100,000 values"),
    "ten to the hundredth laughs": (laughs(100), "more than 100,000 values|more than 50 levels"),
    "a list that contains itself": ("experiment: &a [*a]", "more than 50 levels"),
    "a key that contains itself": ("datasets: &a {x: *a}", "more than 50 levels"),
    "brackets": ("[" * 5_000, "not valid YAML"),
    "braces": ("{a: " * 5_000, "not valid YAML"),
    "a hundred levels": ("experiment: " + "[" * 100 + "]" * 100, "more than 50 levels"),
    "a key that stands twice": (HONEST + "seeds: [0]\nseeds: [1]", "'seeds' stands there twice"),
    "a model that stands twice": (
        HONEST.replace("models: {", "models: {dcgan: {class: x}, "),
        "'dcgan' stands there twice",
    ),
    "no number": (HONEST + "training: {kimg: .nan}", "training.kimg: expected a finite number"),
    "infinity": (HONEST + "training: {kimg: .inf}", "training.kimg: expected a finite number"),
    "a number larger than any": (HONEST + f"seeds: [{2**64}]", "seeds.0: the number is too large"),
    "a number without end": (HONEST + "seeds: [" + "9" * 10_000 + "]", "not valid YAML"),
    "a text without end": (HONEST + "results: " + "r" * 10_000, "10,000 characters is too long"),
    "a file without end": ("# " + "x" * (2 << 20), "no configuration has"),
    "a label that moves the cursor": (
        HONEST.replace("DCGAN", r'DCGAN", label: "a\e[2J'),
        "models.dcgan.label: expected one line",
    ),
    "a label of two lines": (
        HONEST.replace("DCGAN", r'DCGAN", label: "a\nb'),
        "models.dcgan.label: expected one line",
    ),
    "half a character": (
        HONEST.replace("DCGAN", r'DCGAN", label: "\ud800'),
        "models.dcgan.label: expected one line",
    ),
    "a zero byte": (HONEST + "data: 'a\0b'", "not valid YAML"),
    "an escaped zero byte": (HONEST + 'data: "a\\0b"', "data: expected one line"),
    "bytes that are no text": (b"experiment: \xff\xfe\xfa", "not valid YAML"),
    "a name of two lines": (HONEST.replace("x\n", '"x\\n"\n', 1), "expected one line"),
    "a name that climbs": (
        HONEST.replace("x\n", "../x\n", 1),
        "experiment: expected a name that matches .* found",
    ),
    "a data set that climbs": (HONEST.replace("digits", "../x"), "expected a name that matches"),
    "a model with a shell's command": (
        HONEST.replace("{dcgan:", '{"x; rm -rf .":'),
        "expected a name that matches",
    ),
    "a results folder that is an option": (HONEST + "results: --log=x", "cannot begin with '-'"),
    "a results folder that is a wildcard": (HONEST + "results: 'a{run}'", "braces"),
    "a data folder that is a wildcard": (HONEST + "data: '{x}'", "braces"),
    "published scores that are a wildcard": (HONEST + "published: 'a}'", "braces"),
    "a key that is a number": (HONEST + "1: x", "a key must be text, found 1"),
    "a key that is nothing": (HONEST + "~: x", "a key must be text, found None"),
    "a key that is a list": ("? [a]\n: b", "not valid YAML"),
    "a date": (HONEST + "data: 2020-01-01", "data: expected text, .* found a date"),
    "a date that is none": (HONEST + "data: 2020-99-99", "not valid YAML"),
    "bytes": (HONEST + "data: !!binary eHg=", "data: expected text, .* found a bytes"),
    "a set": (HONEST + "data: !!set {a, b}", "data: expected text, .* found a set"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML"),
    "a list of models": (
        HONEST.replace("{dcgan", "[{dcgan").replace('DCGAN"}}', 'DCGAN"}}]'),
        "models: expected keys and values",
    ),
    "a text": ("just a text", "holds no configuration"),
    "a list": ("- 1", "holds no configuration"),
    "nothing": ("", "holds no configuration"),
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_a_hostile_configuration(kind, place):
    text, message = CONFIGURATIONS[kind]
    path = place / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    matches(refusal(place, lambda: check_config(read_config(path))), message)


def test_the_configuration_that_the_hostile_ones_are_made_from_is_a_good_one(place):
    (place / "config.yaml").write_text(HONEST)
    assert check_config(read_config(place / "config.yaml")).experiment == "x"
    # Aliases that are meant stay what they are.
    anchors = HONEST + "training: &t {kimg: 1}\nevaluation: {seed: 1}\n"
    anchors = anchors.replace('DCGAN"', 'DCGAN", training: {kimg: 2}')
    (place / "config.yaml").write_text(anchors)
    assert check_config(read_config(place / "config.yaml")).training.kimg == 1


def test_what_snakemake_hands_over_is_checked_too(place):
    """Its reader has seen the file already: aliases are objects that stand in several places."""
    for kind in ("ten to the ninth laughs", "no number", "a list that contains itself"):
        text, message = CONFIGURATIONS[kind]
        config = yaml.safe_load(text)
        matches(refusal(place, lambda config=config: check_config(config)), message)
