"""Checkpoints of the public code as runs of ours: weights, settings, training, and what is refused; their images are in
test_parity.py."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import official
import pytest
import torch
from conftest import fpa, fpa_ok, fpa_refused
from hostile import Payload
from official import imported
from reference import LIGHTGAN as LIGHTGAN_NAMES
from reference import PAINTER as PAINTER_NAMES
from reference import UNET as UNET_NAMES
from reference import renamed

from fpa.core.errors import UserError
from fpa.experiment.plan import Plan
from fpa.models import loading
from fpa.models.adversarial_training import optimizer_tensors
from fpa.models.official_checkpoints import read_arguments
from fpa.runs.folder import RunFolder
from fpa.runs.generators import restore
from fpa.workflow.checks import check_before_start

RANDOM = {
    "lstm_delta": {"use_pos_enc": True, "use_learned_init": True, "wide_out_dim": 10},
    "lstm_delta, no softmax, grey": {"use_softmax": False, "greyscale": True, "vect_lr": True},
    "lstm_delta_unet": {"use_learned_init": True, "no_sigmoid_lr": True, "unet_tanh": False},
    "lstm_delta_split_v2, grey": {"greyscale": True, "num_layers": 2, "val_tanh": True},
    "lstm_delta_split_v2, plain": {"v2_input_sigmoid": False, "use_latent_to_init": False},
    "lstm_delta_split_v2_unet": {"vect_lr": True, "unet_tanh": True, "max_unet_dim": 4},
    "lstm_delta_split_v2_unet, no tanh": {"out_tanh": False, "unet_tanh": True},
    "lstm_delta_split_unet": {"out_tanh": True, "unet_tanh": True},
    "lstm_sum": {"out_tanh": False, "use_pos_enc": True},
    "lstm_sum, with the softmax that it ignores": {"use_softmax": True, "greyscale": True},
    "base": {"image_size": 64},
    "base, grey": {"image_size": 128, "greyscale": True, "fmap_max": 8},
}


@pytest.mark.parametrize("name", list(RANDOM))
def test_our_networks_in_the_published_format_come_back(name, tmp_path):
    """Names in the other direction than the import's, from the tables of the vectors."""
    args = {**official.ARGS, **RANDOM[name], "model_type": name.partition(",")[0]}
    torch.manual_seed(0)
    gan = official.gan(args)
    run = imported(tmp_path, official.contents(gan), args)
    model = restore(run)
    own = model.ema.state_dict()
    tables = {"": [*PAINTER_NAMES, (r"^kv_net\.", "program.to_kvb.")]}
    if args["model_type"] == "base":
        tables = {"": LIGHTGAN_NAMES}
    elif args["model_type"].endswith("unet"):
        tables = {"painter.": PAINTER_NAMES, "unet.": UNET_NAMES}
    seen = set()
    for public, value in gan.GE.state_dict().items():
        if public.startswith("mod_dict.") or public.endswith(".f"):
            continue
        prefix = "unet." if public.startswith("u_net.") else next(iter(tables))
        ours = prefix + renamed(public.removeprefix("u_net."), tables[prefix])
        assert torch.equal(own[ours], value), public
        seen.add(ours)
    assert seen == set(own)


def test_the_arguments_decide_which_functions_an_imported_painter_has(tmp_path):
    args = {
        **official.ARGS,
        "no_sigmoid_lr": True,
        "out_tanh": False,
        "use_softmax": False,
        "val_tanh": True,
        "rnn_init_fact": 2.0,
        "use_intermed_loss": 3,
        "scale_intermed_loss": True,
        "ttur_mult": 1.5,
        "aug_prob": 0.25,
    }
    run = imported(tmp_path, official.contents(official.gan(args)), args)
    config = json.loads((run / "run.json").read_text())
    painter = config["model"]["settings"]["painter"]
    assert not any(painter[name] for name in ("sigmoid_rates", "tanh_image", "softmax_keys"))
    assert painter["tanh_values"]
    assert painter["lstm_init_factor"] == 2
    settings = config["model"]["settings"]
    assert (settings["partial_images"], settings["scale_partial_images"]) == (3, True)
    recipe = settings["recipe"]
    assert (recipe["accumulation"], recipe["discriminator_rate_factor"]) == (2, 1.5)
    assert recipe["augment_probability"] == 0.25
    # 5 steps of Adam, in passes of 4 images.
    assert config["training"] == {"batch_size": 8, "kimg": 0.04, "watch_kimg": 0}
    summary = json.loads((run / "train.json").read_text())
    assert summary["steps"] == 5
    assert summary["official"]["model_type"] == "lstm_delta_split_v2"


def damaged(change) -> dict:
    saved = official.contents(official.gan(official.ARGS))
    saved["GAN"] = dict(saved["GAN"])
    change(saved)
    return saved


def without(saved: dict, *names: str) -> None:
    for name in names:
        del saved["GAN"][name]


BIAS = "decoder1.layers.0.1.bias"
REFUSED = [
    ("it asks to run", lambda s: s.update(version=Payload(print, "this ran"))),
    ("lacks the tensor kvb_net.weight, (99, 16)", lambda s: without(s, "GE.kvb_net.weight")),
    (
        "kvb_net.bias is (3,), expected (99,)",
        lambda s: s["GAN"].update({"G.kvb_net.bias": ZEROS[0]}),
    ),
    (BIAS, lambda s: without(s, f"D.{BIAS}", f"D_aug.D.{BIAS}")),
    (
        "holds wide_net.0.weight, (2, 2), which",
        lambda s: s["GAN"].update({"G.wide_net.0.weight": ZEROS[:2, :2]}),
    ),
    ("expected tensors under G., GE., D. and D_aug.D.", lambda s: s["GAN"].update(x=ZEROS)),
    (
        "there are no tensors under GE.",
        lambda s: without(s, *(n for n in s["GAN"] if n[:3] == "GE.")),
    ),
    ("it has no state dict under 'GAN'", lambda s: s.pop("GAN")),
]
ZEROS = torch.zeros(3, 3)


@pytest.mark.parametrize(("reason", "change"), REFUSED)
def test_what_is_no_such_checkpoint_is_refused_with_what_was_wrong(reason, change, tmp_path):
    words = official.write(tmp_path, damaged(change), official.ARGS)
    done = fpa_refused("import-official", *words, cwd=tmp_path)
    assert reason in done.stderr
    assert "this ran" not in done.stdout
    assert not (tmp_path / "run").exists()


def test_repeated_tensors_that_differ_are_refused(tmp_path):
    args = {**official.ARGS, "model_type": "lstm_delta_split_v2_unet"}
    saved = official.contents(official.gan(args))
    saved["GAN"] = dict(saved["GAN"])
    name = "GE.mod_dict.base.3.weight_hh_l0"
    saved["GAN"][name] = saved["GAN"][name] + 1
    done = fpa("import-official", *official.write(tmp_path, saved, args), cwd=tmp_path)
    assert "mod_dict.base.3.weight_hh_l0 is another tensor than" in done.stderr


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"model_type": "lstm_delta_splt"}, "did you mean 'lstm_delta_split'?"),
        ({"latent_dim": "24"}, "latent_dim is '24', expected a whole number"),
        ({"use_softmax": 1}, "use_softmax is 1, expected true or false"),
        ({"transparent": True}, "transparent images (4 channels) are not supported"),
        ({"num_decoding_steps": 0}, "painter.steps: expected at least 1, found 0"),
        ({"image_size": 48}, "takes images of 16, 32, 64, 128 or 256 px, not 48"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_arguments_that_make_no_model_are_refused(args, reason, tmp_path):
    words = official.write(tmp_path, {"GAN": {}}, {**official.ARGS, **args})
    done = fpa_refused("import-official", *words, cwd=tmp_path)
    assert reason in done.stderr


README = {
    **{"use_wandb": True, "generate_types": ["default", "ema"], "num_workers": None, "seed": 1},
    **{"calculate_fid_every": "5_000", "dataset_aug_prob": 0.0, "fid_real_path": "real"},
    "work_dir": "results/default",
}
"""The arguments of the public README, as its args.txt has them."""


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (README, []),
        (
            {"clip": 1.0, "dropout": 0.1, "dataset_aug_prob": 0.5},
            ["clip", "dropout", "dataset_aug_prob"],
        ),
        ({"pre_unet_loss": True, "use_unet_match_loss": True}, ["use_unet_match_loss"]),
        ({"frozen_base": True, "ema_only_unet": True}, []),
        ({"frozen_base": False, "ema_only_unet": True}, ["ema_only_unet"]),
        ({"brand_new": 3, "skip_resize": True}, ["brand_new", "skip_resize"]),
    ],
    ids=str,
)
def test_arguments_that_are_not_taken_over_are_named(args, named):
    assert list(read_arguments({**official.ARGS, **args}, "args.txt").not_taken) == named


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("model_1.pt", b"not torch's", "is not a file that torch has saved"),
        ("model_1.pt", None, "cannot read"),
        (
            "model_1.pt",
            pickle.dumps(Payload(print, "this ran"), protocol=2),
            "is refused: it asks to run",
        ),
        (
            "model_1.pt",
            pickle.dumps(Payload(print, "this ran"), protocol=4),
            "holds something else than tensors",
        ),
        ("args.txt", b"{", "args.txt is not valid JSON"),
        ("args.txt", b"[]", "is not an args.txt of the public code: not a JSON object"),
        ("args.txt", None, "cannot read"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_are_missing_or_something_else_are_refused(file, content, reason, tmp_path):
    words = official.write(tmp_path, {"GAN": {}}, official.ARGS)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    done = fpa_refused("import-official", *words, cwd=tmp_path)
    assert reason in done.stderr
    assert "this ran" not in done.stdout


def test_latents_and_networks_that_a_run_does_not_have_are_refused(tmp_path):
    run = imported(tmp_path, official.contents(official.gan(official.ARGS)), official.ARGS)
    np.save(tmp_path / "z.npy", np.zeros((2, 7), np.float32))
    for words, reason in (
        (("--latents", "z.npy"), "holds float32 (2, 7), expected latents as floats (N, 24)"),
        (("--latents", "z.npy", "--count", 2), "leave out --count"),
        (("--which", "before_unet"), "has no U-Net"),
    ):
        done = fpa("sample", run, "--out", "x.npy", *words, cwd=tmp_path)
        assert done.returncode == 1
        assert reason in done.stderr
    done = fpa("import-official", *official.write(tmp_path, {}, {}), cwd=tmp_path)
    assert "holds a finished run; choose another folder" in done.stderr
    fpa("export", run, "--out", "export", cwd=tmp_path)
    done = fpa("sample", "export", "--out", "x.npy", "--which", "raw", cwd=tmp_path)
    assert "is an export, which holds the EMA generator alone" in done.stderr


GREY = {
    **official.ARGS,
    "model_type": "lstm_delta_split_v2",
    "greyscale": True,
    "latent_dim": 8,
    "fmap_max": 8,
    "batch_size": 4,
    "grad_cummulate_every": 1,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """The tiny experiment's digits, at 16 px, grey."""
    folder = tmp_path_factory.mktemp("digits")
    words = ("resolution=16", "channels=1", "filter=bicubic", "--no-config", "--out", "store")
    fpa_ok("prepare", "digits", *words, cwd=folder)
    return folder / "store"


@pytest.fixture(scope="module")
def grey_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    return imported(folder, official.contents(official.gan(GREY)), GREY)


def trained(run: Path, store: Path, *more: object) -> dict:
    words = ("--store", store, "--device", "cpu", *more)
    fpa_ok("train", run / "run.json", *words, cwd=run)
    return json.loads((run / "train.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm_delta_split_v2", "lstm_delta_split_v2_unet"])
def test_an_imported_run_can_be_trained_on(kind, store, tmp_path):
    args = {**GREY, "model_type": kind, "max_unet_dim": 1, "frozen_base": True}
    saved = official.contents(official.gan(args))
    run = imported(tmp_path, saved, args, "--kimg", 0.032)
    before = RunFolder(run).read_weights()
    summary = trained(run, store)
    # 5 steps there and 3 here.
    assert (summary["steps"], summary["kimg"]) == (8, 0.032)
    after = RunFolder(run).read_weights()
    for network in ("generator", "discriminator"):
        changed = {
            name
            for name, value in after[network].items()
            if not torch.equal(value, before[network][name])
        }
        expected = {name for name in after[network] if not name.startswith("painter.")}
        assert changed == expected
    if kind == "lstm_delta_split_v2":
        step = after["discriminator_optimizer"]
        assert {int(value) for name, value in step.items() if name.startswith("step.")} == {8}


def test_training_an_imported_run_to_what_it_has_seen_leaves_it_alone(grey_run, store):
    before = {path.name: path.read_bytes() for path in grey_run.iterdir() if path.is_file()}
    trained(grey_run, store)
    assert before == {path.name: path.read_bytes() for path in grey_run.iterdir() if path.is_file()}


@pytest.mark.slow
def test_an_imported_painter_can_be_the_base_of_a_unet_stage(tmp_path):
    run = imported(tmp_path, official.contents(official.gan(GREY)), GREY)
    base = json.loads((run / "run.json").read_text())["model"]["settings"]
    unet = loading.build("fpa.models:FPAUNet", {"unet": {"max_multiplier": 1}}, 16, 1, base)
    weights = RunFolder(run).read_weights()
    unet.start_from(weights)
    for ours, theirs in (
        (unet.generator.painter, "generator"),
        (unet.ema.painter, "ema"),
        (unet.discriminator, "discriminator"),
    ):
        torch.testing.assert_close(ours.state_dict(), dict(weights[theirs]), atol=0, rtol=0)
    moments = optimizer_tensors(unet.discriminator_optimizer, unet.discriminator)
    torch.testing.assert_close(moments, dict(weights["discriminator_optimizer"]))
    unet.step(torch.rand(4, 1, 16, 16))


def test_a_configuration_names_an_imported_run_in_the_place_of_a_training(grey_run, tiny, store):
    tiny["models"] = {
        "official": {"run": str(grey_run), "label": "published"},
        "refined": {
            "class": "fpa.models:FPAUNet",
            "base": "official",
            "settings": {"unet": {"max_multiplier": 1}},
        },
    }
    tiny["seeds"] = [3, 4]
    experiment = Plan(tiny)
    # One run of the official model, which is the base of both refined ones.
    assert [(run.model.name, run.seed) for run in experiment.runs] == [
        ("official", 3),
        ("refined", 3),
        ("refined", 4),
    ]
    official_run, *refined = experiment.runs
    assert {run.base.folder for run in refined} == {official_run.folder}
    assert official_run.dataset.name == "digits"
    check_before_start(experiment)
    folder = experiment.results / official_run.folder
    folder = grey_run.parent / folder
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(official_run.as_json()))
    summary = trained(folder, store, "--finished", grey_run)
    assert summary["digest"] == official_run.digest
    assert summary["kimg"] == 0.02
    weights = RunFolder(folder).read_weights()
    torch.testing.assert_close(weights, RunFolder(grey_run).read_weights(), atol=0, rtol=0)
    # Another run under the same path is noticed.
    changed = {**official_run.as_json()["model"], "finished": "of another"}
    other = folder.parent / "other.json"
    other.write_text(json.dumps({**official_run.as_json(), "model": changed}))
    words = ("--store", store, "--finished", grey_run, "--out", folder.parent / "other")
    done = fpa("train", other, *words, cwd=folder)
    assert "is another run than the one that was planned with" in done.stderr


@pytest.mark.parametrize(
    ("model", "dataset", "reason"),
    [
        ({"run": "nowhere"}, {}, "models.official.run: cannot read nowhere/train.json"),
        ({"settings": {"painter": {}}}, {}, "models.official.settings: a finished run has its own"),
        ({"seeds": [0]}, {}, "models.official.seeds: a finished run has its own"),
        ({}, {"channels": 3}, "its images have channels 1, those of digits 3"),
        ({}, {"resolution": 32}, "its images have resolution 16, those of digits 32"),
        ({"run": None}, {}, "models.official: missing class"),
    ],
    ids=str,
)
def test_a_finished_run_that_does_not_fit_is_refused(grey_run, tiny, model, dataset, reason):
    tiny["models"] = {"official": {"run": str(grey_run), **model}}
    tiny["datasets"]["digits"] |= dataset
    with pytest.raises(UserError, match=re.escape(reason)):
        Plan(tiny)
