"""Exports, checkpoints, weights and configurations made to do harm: each refused in one line; a class that a file names is
imported only if it is this project's, or was named by the user."""

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
from conftest import fpa, fpa_ok, fpa_refused
from hostile import Payload, contained

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.core.registry import check_trusted, trust
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


def with_entry(**about: Any) -> Callable[[bytes], bytes]:
    """One entry of the header says something else of its tensor."""
    return lambda w: changed(w, lambda h: first(h).update(about))


def with_other_name(header: dict[str, Any]) -> None:
    header["__class__"] = header.pop(next(name for name in header if "." in name))


WEIGHTS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("cannot read", lambda w: file_of(b"{}", b"", 2**64 - 1)),
    ("cannot read", lambda w: file_of(b"{}", b"", 1 << 30)),
    ("cannot read", lambda w: file_of(b"{" * 100, b"")),
    ("cannot read", lambda w: file_of(b"[" * 1_000_000, b"")),
    ("does not fit .* there is no", lambda w: file_of({}, b"")),
    ("cannot read", lambda w: changed(w, all_at_the_start)),
    ("cannot read", with_entry(data_offsets=[0, 1 << 40])),
    ("cannot read", with_entry(data_offsets=[8, 0])),
    ("cannot read", with_entry(shape=[1 << 40])),
    ("cannot read", with_entry(shape=[1 << 32, 1 << 32])),
    ("cannot read", with_entry(dtype="PICKLE")),
    ("is torch.int32", with_entry(dtype="I32")),
    ("does not fit", lambda w: changed(w, with_other_name)),
    ("cannot read", lambda w: w[: len(w) // 2]),
    ("cannot read", lambda w: b""),
    ("cannot read", lambda w: pickle.dumps(Payload(Path.touch, Path("canary")))),
]


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


@pytest.mark.parametrize(("message", "change"), WEIGHTS)
def test_hostile_weights_of_an_export(message, change, exported, place):
    about, weights = exported
    write_export(place / "export", about, change(weights))
    matches(refusal(place, lambda: restore(place / "export")), message)


def of_run(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda about: {**about, "run": {**about["run"], **more}}


def of_model(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda about: of_run(model={**about["run"]["model"], **more})(about)


def of_dataset(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda about: of_run(dataset={**about["run"]["dataset"], **more})(about)


EXPORTS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("names the class os:system", of_model(**{"class": "os:system"})),
    ("names the class stranger:X", of_model(**{"class": "stranger:X"})),
    ("has no class 'locked'", of_model(**{"class": "fpa.core.files:locked"})),
    ("not a resolved run", of_model(**{"class": ["os"]})),
    ("not a resolved run", of_model(settings=[1])),
    ("unknown setting", of_model(settings={"__class__": 1})),
    ("does not fit|cannot be built", of_model(settings={"latent_dim": 8, "width": 2**16})),
    ("expected at most", of_model(settings={"latent_dim": 10**9, "width": 4})),
    ("expected at most", of_model(settings={"latent_dim": 8, "width": 10**30})),
    ("not a resolved run", of_dataset(resolution=1 << 20)),
    ("not a resolved run", of_dataset(channels=1000)),
    ("not an export's configuration", lambda about: {"weights_sha256": "0"}),
    ("not an export's configuration", lambda about: [1]),
    ("not a resolved run", lambda about: {**about, "run": "run"}),
    ("not a resolved run", of_run(__class__="x")),
]


@pytest.mark.parametrize(("message", "change"), EXPORTS)
def test_a_hostile_configuration_of_an_export(message, change, exported, place, monkeypatch):
    about, weights = exported
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


def test_an_export_whose_weights_were_exchanged(exported, place):
    about, weights = exported
    write_export(place, about, weights)
    (place / "generator.safetensors").write_bytes(weights[:-1] + b"?")
    matches(refusal(place, lambda: restore(place)), "not the file that was exported")


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


def repacked(
    value: Any, change: Callable[[str, bytes], tuple[str, bytes]], kind=zipfile.ZIP_STORED
):
    """An honest checkpoint packed again, with other names or contents, or compressed."""

    def write(path: Path) -> None:
        torch.save(value, path)
        with zipfile.ZipFile(path) as archive:
            parts = [change(info.filename, archive.read(info)) for info in archive.infolist()]
        with zipfile.ZipFile(path, "w", kind) as archive:
            for name, data in parts:
                archive.writestr(name, data)

    return write


def scripted(path: Path) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))


SHELL = Payload(os.system, "touch canary")
HONEST_STATE = {"step": 1, "x": torch.zeros(1 << 16)}
SAVED: dict[str, Any] = {
    "os.system": SHELL,
    "os.system inside of a state": {"model": {"w": SHELL}},
    "subprocess": Payload(subprocess.check_output, ["touch", "canary"]),
    "eval": Payload(eval, "open('canary', 'w')"),
    "exec": Payload(exec, "open('canary', 'w')"),
    "getattr": Payload(getattr, "x", "upper"),
    "a file": Payload(open, "canary", "w"),
    "a path": Payload(Path.touch, Path("canary")),
    "another torch.load": Payload(torch.load, "other.pt"),
    "torch.hub": Payload(torch.hub.load, "a/b", "c"),
    "a class of this project": Payload(restore, "x"),
    "a list": [1, 2],
    "a text": "state",
}
CHECKPOINTS: dict[str, Callable[[Path], Any]] = {
    **{name: lambda path, value=value: torch.save(value, path) for name, value in SAVED.items()},
    "the old format": lambda p: torch.save(SHELL, p, _use_new_zipfile_serialization=False),
    "a bare pickle": lambda p: p.write_bytes(pickle.dumps(SHELL)),
    "a pickle by hand": lambda p: p.write_bytes(b"cos\nsystem\n(S'touch canary'\ntR."),
    "names that climb": repacked(HONEST_STATE, lambda name, data: ("../../canary/" + name, data)),
    "compressed": repacked(HONEST_STATE, lambda *part: part, zipfile.ZIP_DEFLATED),
    "a program of TorchScript": scripted,
    # The pickle's size of the storage and of the tensor.
    "a tensor larger than its bytes": repacked(
        {"x": torch.zeros(1)},
        lambda name, data: (name, data.replace(b"K\x01", b"J\xff\xff\xff\x7f")),
    ),
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
    torch.save(SHELL, path)
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


LAUGHS, NAN = laughs(9), HONEST + "training: {kimg: .nan}"
ITSELF = "experiment: &a [*a]"
LABEL = HONEST.replace("DCGAN", 'DCGAN", label: "a%s')
CONFIGURATIONS: list[tuple[str, str | bytes]] = [
    (
        "not valid YAML: could not determine a constructor",
        "experiment: !!python/object/apply:os.system ['touch canary']",
    ),
    *(
        ("not valid YAML", f"experiment: {tag}")
        for tag in (
            "!!python/object/new:os.system ['x']",
            "!!python/name:os.system",
            "!!python/module:os",
            "!include /etc/passwd",
        )
    ),
    ("more than 100,000 values", LAUGHS),
    ("more than 100,000 values|more than 50 levels", laughs(100)),
    ("more than 50 levels", ITSELF),
    ("more than 50 levels", "datasets: &a {x: *a}"),
    ("more than 50 levels", "experiment: " + "[" * 100 + "]" * 100),
    *(
        ("not valid YAML", text)
        for text in (
            "[" * 5_000,
            "{a: " * 5_000,
            "? [a]\n: b",
            "a: 1\n---\nb: 2",
            b"experiment: \xff\xfe\xfa",
            "a: [1",
        )
    ),
    *(
        ("not valid YAML", HONEST + text)
        for text in ("seeds: [" + "9" * 10_000 + "]", "data: 'a\0b'", "data: 2020-99-99")
    ),
    ("'seeds' stands there twice", HONEST + "seeds: [0]\nseeds: [1]"),
    ("'dcgan' stands there twice", HONEST.replace("models: {", "models: {dcgan: {class: x}, ")),
    ("training.kimg: expected a finite number", NAN),
    ("training.kimg: expected a finite number", HONEST + "training: {kimg: .inf}"),
    ("seeds.0: the number is too large", HONEST + f"seeds: [{2**64}]"),
    ("10,000 characters is too long", HONEST + "results: " + "r" * 10_000),
    ("no configuration has", "# " + "x" * (2 << 20)),
    *(
        ("models.dcgan.label: expected one line", LABEL % odd)
        for odd in (r"\e[2J", r"\nb", r"\ud800")
    ),
    ("data: expected one line", HONEST + 'data: "a\\0b"'),
    ("expected one line", HONEST.replace("x\n", '"x\\n"\n', 1)),
    ("experiment: expected a name that matches .* found", HONEST.replace("x\n", "../x\n", 1)),
    ("expected a name that matches", HONEST.replace("digits", "../x")),
    ("expected a name that matches", HONEST.replace("{dcgan:", '{"x; rm -rf .":')),
    ("cannot begin with '-'", HONEST + "results: --log=x"),
    *(("braces", HONEST + f"{key}: 'a}}'") for key in ("results", "data", "published")),
    ("a key must be text, found 1", HONEST + "1: x"),
    ("a key must be text, found None", HONEST + "~: x"),
    ("data: expected text, .* found a date", HONEST + "data: 2020-01-01"),
    ("data: expected text, .* found a bytes", HONEST + "data: !!binary eHg="),
    ("data: expected text, .* found a set", HONEST + "data: !!set {a, b}"),
    (
        "models: expected keys and values",
        HONEST.replace("{dcgan", "[{dcgan").replace('DCGAN"}}', 'DCGAN"}}]'),
    ),
    *(("holds no configuration", text) for text in ("just a text", "- 1", "")),
]


@pytest.mark.parametrize(("message", "text"), CONFIGURATIONS, ids=lambda x: repr(x)[:40])
def test_a_hostile_configuration(message, text, place):
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


@pytest.mark.parametrize("text", [LAUGHS, NAN, ITSELF], ids=["laughs", "NaN", "itself"])
def test_what_snakemake_hands_over_is_checked_too(text, place):
    """Its reader has seen the file already: aliases are objects that stand in several places."""
    config, message = yaml.safe_load(text), {t: m for m, t in CONFIGURATIONS}[text]
    matches(refusal(place, lambda: check_config(config)), message)


STRANGER = """
from pathlib import Path
Path("executed").touch()
from baselines.dcgan.model import DCGAN
"""
"""A module that leaves a trace when it is imported."""


@pytest.fixture
def received(tiny, tmp_path, monkeypatch):
    """An export that names a class of a module beside it, in the working directory."""
    settings = {"latent_dim": 8, "width": 4}
    tiny["models"] = {"dcgan": {"class": "baselines.dcgan:DCGAN", "settings": settings}}
    (run,) = Plan(tiny).runs
    torch.manual_seed(0)
    export(build_model(run), run, "last", tmp_path)
    about = json.loads((tmp_path / "generator.json").read_text())
    about["run"]["model"]["class"] = "stranger:DCGAN"
    (tmp_path / "generator.json").write_text(json.dumps(about))
    (tmp_path / "stranger.py").write_text(STRANGER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_class_that_a_finished_run_or_a_plan_names_is_not_imported(received):
    run = json.loads((received / "generator.json").read_text())["run"]
    (received / "run").mkdir()
    (received / "run" / "train.json").write_text(json.dumps({"run": run, "digest": run["digest"]}))
    (received / "run.json").write_text(json.dumps(run))
    for words in (
        ("sample", "run", "--out", "s.npy"),
        ("export", "run", "--out", "e"),
        ("train", "run.json", "--store", "s"),
        ("cost", "run.json", "--out", "c.json"),
    ):
        done = fpa_refused(*words, cwd=received)
        assert "names the class stranger:DCGAN" in done.stderr
    assert not (received / "executed").exists()


def test_a_class_is_imported_where_the_command_names_it(received):
    words = ("sample", ".", "--count", "2", "--out", "samples.npy", "--device", "cpu")
    assert fpa(*words, cwd=received).returncode == 1
    fpa_ok(*words, "--trust-class", "stranger:DCGAN", cwd=received)
    assert (received / "executed").exists()
    # One command only.
    assert fpa(*words, cwd=received).returncode == 1


def test_a_configurations_own_classes_are_trusted_in_the_jobs_it_starts(tiny, tmp_path):
    tiny["models"] = {
        "mine": {"class": "baselines.dcgan.model:DCGAN", "settings": {"latent_dim": 8, "width": 4}}
    }
    Plan(tiny)
    assert os.environ["FPA_TRUSTED"] == "baselines.dcgan.model:DCGAN"


def test_only_this_projects_packages_may_be_named(tmp_path, monkeypatch):
    for name in ("fpa.models:FPA", "baselines.dcgan:DCGAN"):
        check_trusted(name, "x")
    for name in ("os:system", "fpax.models:FPA", ".fpa:X", "builtins:eval", "fpa_models:FPA"):
        with pytest.raises(UserError, match="x names the class"):
            check_trusted(name, "x")
    for name in (
        "",
        "fpa",
        "fpa.models:",
        "a:B; rm -rf .",
        "a:B\nc:D",
        "a:$(touch canary)",
        "../a:B",
    ):
        with pytest.raises(UserError, match=r"^x names no class as") as refused:
            check_trusted(name, "x")
        assert len(str(refused.value).splitlines()) == 1
    trust(["stranger:A", "other:B"])
    check_trusted("other:B", "x")
    with pytest.raises(UserError):
        check_trusted("other:C", "x")


def test_a_package_of_the_same_name_beside_an_export_is_not_this_projects(tmp_path, monkeypatch):
    import sys

    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "__init__.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "baselines"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match="not of this project"):
        check_trusted("baselines.dcgan:DCGAN", "x")
    assert not (tmp_path / "executed").exists()


def test_weights_must_have_the_names_shapes_and_types_of_the_generator(received):
    import safetensors.torch

    about = json.loads((received / "generator.json").read_text())
    about["run"]["model"]["class"] = "baselines.dcgan:DCGAN"
    path = received / "generator.safetensors"
    whole = safetensors.torch.load(path.read_bytes())
    name = next(key for key, value in whole.items() if value.ndim == 4)
    for change, message in (
        ({name: whole[name].half()}, "is torch.float16"),
        ({name: whole[name][:1]}, "expected torch.float32"),
        ({"extra": torch.zeros(1)}, "it has no extra"),
    ):
        path.write_bytes(safetensors.torch.save({**whole, **change}))
        about["weights_sha256"] = file_digest(path)
        (received / "generator.json").write_text(json.dumps(about))
        with pytest.raises(UserError, match=message):
            restore(received)
