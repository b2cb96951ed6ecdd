"""The configuration's door: defaults, digests, and one clear line for every mistake."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import yaml
from conftest import ROOT, TINY, changed, png
from pydantic import create_model

from fpa.cli.experiment import SHIPPED
from fpa.core.errors import UserError
from fpa.core.files import read_json, write_json
from fpa.core.provenance import STAGES
from fpa.data import sources
from fpa.data.prepare import prepare
from fpa.data.sources import store_name
from fpa.experiment.config import Config, DatasetSettings, Section, check_config, read_config
from fpa.experiment.plan import Plan
from fpa.models import MODELS
from fpa.models.loading import (
    build,
    check_images,
    check_settings,
    declare,
    find_model,
    resolve_settings,
)
from fpa.models.parts import RULES
from fpa.models.settings import FPASettings
from fpa.reporting.figures import figures
from fpa.workflow.checks import check_before_start, not_measured
from fpa.workflow.workflow import Workflow

MODELS_BY_NAME = {
    "fpa.models:FPA": {},
    "fpa.models:FPAUNet": {},
    "baselines.lightgan:LightGAN": {},
    "baselines.stylegan2_ada:StyleGAN2ADA": {},
    "baselines.dcgan:DCGAN": {},
}


MISTAKES = r"""
trainig = {} -> @: unknown key; did you mean 'training'?
training.batchsize = 3 -> @: unknown key; did you mean 'batch_size'?
training.batch_size = many -> @: expected a whole number, found "many"
models.fpa.training = {kimg: x} -> @.kimg: expected a number, found "x"
models.fpa.class = fpa.modles:FPA -> @: cannot import 'fpa.modles'
models.fpa.class = fpa.models:FPAA -> module 'fpa.models' has no class 'FPAA'; did you mean 'FPA'?
models.fpa.class = FPA -> does not name a class as 'package.module:Class'
models.fpa.class = fpa.runs.run:Run -> is not a model: it has no step
models.fpa.settings.painter.step = 5 -> @: unknown setting; did you mean 'steps'?
models.fpa.settings.paintr = {} -> @: unknown setting; did you mean 'painter'?
models.fpa.settings.painter.steps = x -> @: expected a whole number, found "x"
models.fpa.settings.painter.steps = 0 -> @: expected at least 1, found 0
models.fpa.settings.painter = {rule: additive, vector_rates: true} -> vector_rates needs rule: delta, oja or delta_product (the additive rule has no rates)
datasets.digit = {resolution: 16} -> @: unknown data set 'digit'; did you mean 'digits'?
datasets.digits.resolution = 17 -> @: expected one of 8, 16, 32, 64, 128, 256, found 17
evaluation.protocols.quick.extractor = inception_v4 -> @: unknown extractor 'inception_v4'; did you mean 'inception_v3'?
evaluation.protocols.quick.extractor = efficientnet_lite0 -> needs its input size
evaluation.protocols.quick.extractor = inception_v3-64px -> takes 299 px
evaluation.protocols = {papr: {}} -> @.papr: 'papr' is not a known protocol; did you mean 'paper'?
evaluation.protocols.quick.resize = pytorch -> @: efficientnet_lite0-32px takes clean, found 'pytorch'
training.watch_kimg = 0 -> evaluation.checkpoint: best needs a quick score of every model
training.watch_protocol = quik -> @: there is no 'quik' among evaluation.protocols; did you mean 'quick'?
models.fpa_unet.base = fpaa -> there is no model 'fpaa'; did you mean 'fpa'?
models.fpa_unet.base = null -> starts from another model; name it as 'base'
models.fpa.base = lightgan -> starts from no other model
models.fpa_unet.base = fpa_unet -> goes round in a circle
evaluation.metrics = [fidd] -> @: unknown metric 'fidd'; did you mean 'fid'?
models.fpa.settings.painter.rule = delt -> unknown learning rule 'delt'; did you mean 'delta'?
plugins = [no_such_module] -> @: cannot import 'no_such_module'
models = {} -> @: expected at least 1, found {}
experiment = a/b -> @: expected a name that matches
seeds = [1, 1] -> @: 1 stands there twice
models.fpa.seeds = [] -> @: expected at least 1, found []
models.fpa.seeds = [0, 4] -> @: 4 is not among the experiment's seeds [0]
seeds = [0, 1] & models.fpa.seeds = [1] -> models.fpa.seeds: 0 is not among them, the experiment's first seed
evaluation.seed = 4294967296 -> @: expected at most 2147483647, found 4294967296
training.kimg = 0 -> @: expected more than 0, found 0
evaluation.metrics = [] -> @: expected at least 1, found []
evaluation.checkpoint = newest -> @: expected one of best, last, found "newest"
evaluation.groups = 1 -> @: expected at least 4, found 1
evaluation.protocols.quick.format = gif -> @: expected one of array, png, jpeg, found "gif"
runtime.precision = [fp8] -> @.0: expected one of tf32_matmul
training.batch_size = 16.0 -> @: expected a whole number, found 16.0; write 16
seeds = [0.0] -> @.0: expected a whole number, found 0.0; write 0
models.lightgan.settings.generator.fmap_max = true -> @: expected a whole number, found true
models.lightgan.settings.recipe.learning_rate = 2e-4 -> found "2e-4"; YAML takes it for text, write 2.0e-04
evaluation.cross_check = 1 -> @: expected true or false, found 1
models.fpa.label = 7 -> @: expected text, found 7
figures.strip_steps = [0] -> @.0: expected at least 1, found 0
figures.strip_steps = 1 -> @: expected at least 2, found 1
models.lightgan = {class: "baselines.dcgan:DCGAN", settings: {width: -8}} -> @.settings.width: expected at least 1, found -8
models.lightgan = {class: "baselines.dcgan:DCGAN", settings: {learning_rate: -1}} -> @.settings.learning_rate: expected more than 0, found -1
runtime.device = gpu -> @: expected one of auto, cpu, cuda
datasets.mine = {source: folder, resolution: 16} -> @: source folder needs a path
datasets.digits.resolution = 16.0 -> @: expected a whole number, found 16.0; write 16
datasets.digits.channels = true -> @: expected a whole number, found true; write 1
training.kimg = true -> @: expected a number, found true
evaluation.protocols.quick.n_fake = 64.0 -> @: expected a whole number, found 64.0; write 64
figures.paintings = 2.0 -> @: expected a whole number, found 2.0; write 2
models.lightgan = {class: "baselines.dcgan:DCGAN", settings: {width: true}} -> @.settings.width: expected a whole number, found true
models.lightgan = {class: "baselines.dcgan:DCGAN", settings: {ema_decay: 2}} -> @.settings.ema_decay: expected at most 1, found 2
models.lightgan.settings.recipe.betas = [0.5, 1] -> settings.recipe.betas.1: expected less than 1, found 1
models.fpa.settings.discriminator.attention = [0] -> @.0: expected more than 0, found 0
models.fpa.settings.painter.hidden_size = 4611686018427387904 -> @: expected at most 65536, found
models.lightgan = {class: "baselines.dcgan:DCGAN", settings: {width: 100000}} -> @.settings.width: expected at most 65536
models.lightgan.settings.generator.fmap_max = 100000 -> @: expected at most 65536, found 100000
figures.grid = 1000000 -> @: expected at most 10000, found 1000000
figures.frames = 10001 -> @: expected at most 10000, found 10001
figures.statistics = 1000001 -> @: expected at most 1000000, found 1000001
evaluation.protocols.quick.n_fake = 4611686018427387904 -> @: expected at most 100000000, found
training.kimg = inf -> @: expected a number, found "inf"
models.lightgan.settings.recipe.learning_rate = .inf -> settings.recipe.learning_rate: expected a finite number, found inf
datasets.digits.path = here -> @: digits come with scikit-learn; leave path out
figures.strips = [2] -> @: there is no painting 2 (counted from 0) among the 2 that are saved
""".strip().splitlines()
"""key = value -> message, in which @ is the key: found when the configuration is read."""
LONG = "/tmp/" + "x" * 256
TOO_LONG = [
    *(
        (key, LONG, f"{key}: expected a path of at most 3,500 bytes with names of at most 255, ")
        for key in ("results", "data", "inception_weights", "published", "claims")
    ),
    ("results", LONG, "found 261 bytes with a name of 256; choose a shorter one"),
    ("results", "x/" * 2000, "found 4,000 bytes with a name of 1"),
    ("models.fpa", {"run": LONG}, "models.fpa.run: expected a path of at most 3,500 bytes"),
    (
        "datasets.mine",
        {"source": "folder", "path": "ü" * 128, "resolution": 16},
        "datasets.mine.path: expected a path of",
    ),
    ("models", {"x" * 65: TINY["models"]["fpa"]}, "models: expected at most 64 characters, found"),
    ("experiment", "x" * 300, "experiment: expected at most 255 characters, found"),
]

LATE = r"""
datasets.digits.resolution = 8 -> model fpa on digits: the discriminator takes images of 16
training.batch_size = 1798 -> larger than the data set digits (1,797 images)
evaluation.protocols.quick.n_real = 1798 -> @: 1,798 is more than the data set digits has (1,797
results = /proc/nothing/here -> @: cannot make /proc/nothing/here
results = /proc/version/x -> Not a directory; choose another folder
models.fpa_unet.label = lightgan -> models.lightgan.label: 'lightgan' is what models.fpa_unet is called too
evaluation.protocols.quick.n_fake = 7 -> @: 7 samples cannot be split into 4 groups of 2 or more
evaluation.kid_subset_size = 33 -> @: subsets of 33 images cannot be drawn from the 32 of
evaluation.protocols.quick.n_real = 19 -> evaluation.kid_subset_size: subsets of 20 images cannot be drawn from the 19 of
datasets.mine = {source: folder, path: /, count: 3, resolution: 16, channels: 1} -> evaluation.protocols.quick: 4 images on either side are needed for precision and recall
models.lightgan.settings.recipe.accumulation = 3 -> settings.recipe.accumulation: 8 images (a batch on each GPU) cannot be shared evenly between 3 passes; change it, or training.batch_size
models.lightgan = {class: "baselines.stylegan2_ada:StyleGAN2ADA", settings: {networks: {channel_base: 15}}} -> model lightgan on digits: networks.channel_base: 15 leaves no channel to layers of 16 px
runtime.gpus = 3 -> cannot be shared evenly by 3 GPUs
figures.strip_steps = [5, 9] -> @: none of [5, 9] is among the 4 steps of models.fpa
published = no.csv -> @: there is no file no.csv
published = pyproject.toml -> @: cannot read pyproject.toml
models.fpa.settings.discriminator.attention = [7] -> discriminator.attention: expected widths of its layers (16), each once, found 7
models.fpa.settings.discriminator.attention = [16, 16] -> discriminator.attention: expected widths of its layers (16), each once, found 16
models.lightgan.settings.generator.attention = [16] -> generator.attention: expected widths of its layers (4, 8), each once, found 16
datasets.mine = {source: folder, path: /no/such/folder, resolution: 16, channels: 1} -> /no/such/folder
evaluation.metrics = [inception_score] & evaluation.cross_check = false -> evaluation.metrics: inception_score cannot be computed without the cross-check
evaluation.metrics = [precision] & evaluation.protocols.quick.n_fake = 3 -> evaluation.protocols.quick: 4 images on either side are needed for precision, found 3
evaluation.metrics = [fid_infinity] -> @: protocol quick can measure nothing of them: fid_infinity (needs 5,120 samples, 4 for each of 1,280 feature dimensions, found 32)
evaluation.metrics = [cmmd] -> @: protocol quick can measure nothing of them: cmmd (needs CLIP features (protocol clip), found efficientnet_lite0-32px)
evaluation.metrics = [ppl] -> @: protocol quick can measure nothing of them: ppl (needs paths between latents (protocol ppl))
evaluation.metrics = [inception_score] & evaluation.protocols = {dinov2: {n_fake: 32}} -> inception_score (needs class logits, which dinov2_vitl14 has not)
evaluation.metrics = [inception_score] & evaluation.protocols.quick.n_fake = 9 -> inception_score (needs 10 samples, found 9)
evaluation.metrics = [fid, cmmd] -> @: cmmd can be measured by no protocol: it needs CLIP features
inception_weights = /no/such/folder & evaluation.protocols = {clean: {n_fake: 32}} -> inception_weights: there is no inception-2015-12-05.pt in the folder /no/such/folder
""".strip().splitlines()
"""The same, found before anything starts; several changes are joined by &."""


def one_line(check, config: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        check(config)
    assert message in str(error.value).splitlines()[0]
    assert check is not Plan or "\n" not in str(error.value)


def before_start(config: dict) -> None:
    plan = Plan(config)
    check_before_start(plan)


@pytest.mark.parametrize(
    ("line", "check"),
    [*((line, Plan) for line in MISTAKES), *((line, before_start) for line in LATE)],
)
def test_each_mistake_is_told_in_one_line_before_anything_runs(line, check):
    changes, _, message = line.partition(" -> ")
    pairs = [change.partition(" = ")[::2] for change in changes.split(" & ")]
    config = changed(TINY, {key: yaml.safe_load(value) for key, value in pairs})
    one_line(check, config, message.replace("@", pairs[0][0]))


@pytest.mark.parametrize(("key", "value", "message"), TOO_LONG, ids=str)
def test_what_is_too_long_for_a_file_is_told_in_one_line(key, value, message):
    one_line(Plan, changed(TINY, {key: value}), message)


@pytest.mark.parametrize(
    ("count", "metrics", "message"),
    [
        (
            1,
            ["fid"],
            "datasets.mine: a single image, where every distance needs two on either side",
        ),
        (
            3,
            ["fid"],
            "models.fpa.training.watch_kimg: a quick score needs 4 real images, and the data set mine has 3; ",
        ),
    ],
)
def test_too_few_images_are_told_before_anything_runs(tiny, count, metrics, message):
    mine = {"source": "folder", "path": "/", "count": count, "resolution": 16}
    tiny |= {"datasets": {"mine": mine}, "models": {"fpa": tiny["models"]["fpa"]}}
    tiny["evaluation"]["metrics"] = metrics
    tiny["training"]["batch_size"] = min(count, 2)
    if count == 1:
        tiny["evaluation"]["checkpoint"], tiny["training"]["watch_kimg"] = "last", 0
    one_line(before_start, tiny, message)


def test_a_batch_larger_than_a_prepared_data_set_is_told(tiny, tmp_path, photographs):
    """How many images a folder holds is known once it is prepared."""
    for place, picture in enumerate(photographs[:6]):
        (tmp_path / f"{place}.png").write_bytes(png(picture))
    tiny["datasets"] = {"mine": {"source": "folder", "path": str(tmp_path), "resolution": 16}}
    tiny["data"] = str(tmp_path / "data")
    plan = Plan(tiny)
    check_before_start(plan)
    prepare(plan.datasets["mine"], plan.data / store_name(plan.datasets["mine"]))
    # What is prepared beside the images, with its contact sheet, is not among them.
    (next(plan.data.glob("mine*")) / "contact-sheet.png").write_bytes(png(picture))
    with pytest.raises(UserError, match=r"batch_size: 8 is larger than the data set mine \(6 imag"):
        check_before_start(plan)


def test_what_a_protocol_leaves_out_is_said_at_the_start(tiny, tmp_path, capsys):
    said = (
        "protocol quick leaves out fid_infinity (needs 5,120 samples, 4 for each of 1,280 feature "
        "dimensions, found 32)"
    )
    Workflow.start({**tiny, "results": str(tmp_path)})
    assert said in capsys.readouterr().err
    assert not_measured(Plan(tiny)) == [said]
    tiny["evaluation"]["protocols"] = {"clip": {}, "ppl": {}}
    tiny["evaluation"]["metrics"] = ["fid_infinity", "cmmd", "ppl"]
    check_before_start(Plan(tiny))
    assert not_measured(Plan(tiny)) == []


def test_names_that_are_alike_when_joined_make_different_files(tiny):
    digits, model = tiny["datasets"]["digits"], tiny["models"]["lightgan"]
    tiny["datasets"] = {name: {**digits, "source": "digits"} for name in ("cats", "cats_hd")}
    tiny["models"] = {"dcgan": model, "hd_dcgan": model}
    files = [path for spec in figures(Plan(tiny).experiment).values() for path in spec.files]
    films = {path for path in files if path.startswith("figures/training")}
    assert len(set(files)) == len(files)
    assert films == {
        *("figures/training_cats_dcgan.gif", "figures/training_cats_hd_hd_dcgan.gif"),
        *("figures/training_cats_hd-dcgan.gif", "figures/training_cats-hd_dcgan.gif"),
    }


def test_two_figures_of_one_name_are_an_error_in_one_line(tiny, monkeypatch):
    from fpa.reporting.figures import FIGURES

    monkeypatch.setitem(FIGURES, "again", FIGURES["scores"])
    with pytest.raises(UserError, match="two figures are called 'scores"):
        check_before_start(Plan(tiny))


LIMITS = {*"gt ge lt le minimum exclusiveMinimum maximum exclusiveMaximum enum const".split()}


def numbers_without_a_range(schema: object, where: str = "") -> Iterator[str]:
    """Places in a JSON schema where any number may stand."""
    if isinstance(schema, dict) and not LIMITS & schema.keys():
        if schema.get("type") in ("integer", "number"):
            yield where
        for key, part in schema.items():
            yield from numbers_without_a_range(part, f"{where}/{key}")
    elif isinstance(schema, list):
        for part in schema:
            yield from numbers_without_a_range(part, where)


@pytest.mark.parametrize(
    "settings", [Config, *(find_model(name, "class").settings for name in SHIPPED)]
)
def test_every_number_among_the_settings_has_its_range(settings):
    assert list(numbers_without_a_range(settings.model_json_schema())) == []


def test_jobs_of_a_workflow_do_not_check_again_what_its_start_has_checked(monkeypatch):
    checked = []
    monkeypatch.setattr("fpa.workflow.workflow.check_before_start", checked.append)
    Workflow.start(TINY, main=False)
    assert not checked
    Workflow.start(TINY)
    assert len(checked) == 1


def test_a_table_of_a_metric_that_is_not_measured_is_not_made():
    tables = Workflow(Plan(changed(TINY, {"evaluation.metrics": ["fid", "recall"]}))).tables()
    assert not any("kid" in path for path in tables)
    assert any("fid" in path for path in tables)


def test_a_start_from_the_best_checkpoint_needs_a_base_with_quick_scores(tiny):
    tiny["evaluation"]["checkpoint"] = "last"
    tiny["models"]["fpa"]["training"] = {"watch_kimg": 0}
    with pytest.raises(UserError, match="starts from the best checkpoint of fpa, which needs"):
        Plan(tiny)
    tiny["models"]["fpa_unet"]["settings"]["start"] = {"checkpoint": "last"}
    Plan(tiny)


def test_a_quick_score_is_made_in_the_space_of_its_protocol(tiny):
    other = {"extractor": "efficientnet_lite0-64px", "format": "jpeg", "n_fake": 32}
    tiny["evaluation"]["protocols"]["other"] = other
    run = Plan(tiny).runs[0]
    assert run.training.watch_space == "efficientnet_lite0-32px.clean.array"
    tiny["models"]["fpa"]["training"] = {"watch_protocol": "other"}
    run = Plan(tiny).runs[0]
    assert run.training.watch_space == "efficientnet_lite0-64px.clean.jpeg"
    paper = Plan(read_config(ROOT / "experiments" / "paper.yaml")).runs[0]
    assert paper.training.watch_space == "inception_v3.pytorch.jpeg"
    assert paper.training.watch_images == 10_000


def test_missing_keys_are_named():
    with pytest.raises(UserError, match="configuration: missing datasets, models"):
        check_config({"experiment": "x"})


def test_every_key_has_a_description():
    for section in (Config, *Section.__subclasses__()):
        for name, field in section.model_fields.items():
            assert field.description or field.annotation.__doc__, (section, name)


def test_what_digests_of_images_leave_out_is_what_a_configuration_fills_in():
    fields = sources.DatasetSpec.model_fields
    for key in ("channels", "filter"):
        assert DatasetSettings.model_fields[key].default == fields[key].default


def test_defaults_are_filled_in_down_to_every_model():
    config = check_config({**TINY, "training": {"kimg": 3}, "seeds": [4]})
    assert config.models["lightgan"].training.batch_size == 20
    assert config.models["lightgan"].training.kimg == 3
    assert config.evaluation.kid_subsets == 5
    assert config.datasets["digits"].source is None


@pytest.mark.parametrize(
    "path",
    [
        "config.yaml",
        *sorted({p.name for p in (ROOT / "experiments").glob("*.yaml")} - {"claims.yaml"}),
    ],
)
def test_the_shipped_experiments_are_sound(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = ROOT / path if path == "config.yaml" else ROOT / "experiments" / path
    experiment = Plan({**read_config(path), "results": "somewhere/else", "data": str(tmp_path)})
    for spec in experiment.datasets.values():
        if spec.path is not None:  # as if all archives were there
            Path(spec.path).parent.mkdir(exist_ok=True)
            Path(spec.path).touch()
    check_before_start(experiment)


def test_the_experiment_of_several_seeds_has_the_default_one_in_it():
    default, seeds = (
        read_config(ROOT / path) for path in ("config.yaml", "experiments/digits-seeds.yaml")
    )
    assert len(seeds.pop("seeds")) == 5
    assert default.pop("models").items() <= seeds.pop("models").items()
    for key in ("experiment", "seeds", "results"):
        default.pop(key, None)
        seeds.pop(key, None)
    assert seeds == default


def digests(config: dict) -> dict[str, str]:
    return {run.model.name: run.digest for run in Plan(config).runs}


@pytest.mark.parametrize(
    ("key", "value", "touched"),
    [
        ("models.fpa.settings.painter.steps", 5, {"fpa", "fpa_unet"}),
        ("models.fpa_unet.settings.unet.max_multiplier", 2, {"fpa_unet"}),
        ("models.lightgan.settings.recipe", {}, {"lightgan"}),
        ("models.lightgan.training", {"kimg": 1}, {"lightgan"}),
        ("datasets.digits.filter", "box", {"fpa", "fpa_unet", "lightgan"}),
        ("training.batch_size", 4, {"fpa", "fpa_unet", "lightgan"}),
        ("seeds", [1], {"fpa", "fpa_unet", "lightgan"}),
        ("runtime.log_every", 50, set()),
        ("runtime.train_threads", 2, set()),
        ("evaluation.protocols.quick.n_fake", 50, set()),
        ("figures.grid", 4, set()),
        ("models.fpa.label", "Painter", set()),
        ("training.checkpoint_kimg", 1, set()),
        ("models.fpa.training", {"checkpoint_kimg": 1}, set()),
        ("data", "elsewhere", set()),
        ("models.fpa.settings.painter.layers", 1, set()),  # the default, said aloud
        ("experiment", "other", set()),
    ],
)
def test_a_change_makes_new_runs_of_exactly_what_it_touches(key, value, touched):
    before, after = digests(TINY), digests(changed(TINY, {key: value}))
    assert {name for name in before if before[name] != after[name]} == touched


def test_a_results_folder_belongs_to_one_experiment(tmp_path):
    config = changed(TINY, {"results": str(tmp_path / "r")})
    Plan(config).claim()
    Plan(config)
    with pytest.raises(UserError, match="belongs to the experiment 'tiny', not 'other'"):
        Plan({**config, "experiment": "other"})


def test_a_results_folder_of_version_0_1_is_refused_in_one_line(tmp_path):
    config = changed(TINY, {"results": str(tmp_path / "r")})
    about = {k: v for k, v in Plan(config).experiment.as_json().items() if k != "format"}
    write_json(tmp_path / "r" / "experiment.json", about)
    with pytest.raises(UserError, match=r"holds results of version 0\.1") as error:
        Plan(config)
    assert "\n" not in str(error.value)


def test_a_new_setting_with_a_default_changes_no_digest(monkeypatch):
    before = digests(TINY)
    declared = MODELS["FPA"]
    grown = create_model("Grown", __base__=FPASettings, more=(int, 3))
    monkeypatch.setitem(MODELS, "FPA", replace(declared, settings=grown))
    assert digests(TINY) == before
    assert digests(changed(TINY, {"models.fpa.settings.more": 4})) != before


def test_a_raised_version_makes_new_runs(monkeypatch):
    before = digests(TINY)
    monkeypatch.setitem(MODELS, "FPA", replace(MODELS["FPA"], version=2))
    after = digests(TINY)
    assert {name for name in before if before[name] != after[name]} == {"fpa", "fpa_unet"}
    monkeypatch.undo()
    with mock.patch.dict(RULES, delta=replace(RULES["delta"], version=2)):
        assert digests(TINY)["fpa"] not in (before["fpa"], after["fpa"])
        assert digests(TINY)["lightgan"] == before["lightgan"]
    monkeypatch.setitem(STAGES, "train", STAGES["train"] + 1)
    assert not set(digests(TINY).values()) & set(before.values())


def test_what_others_start_from_is_trained_first_and_the_rest_in_the_order_of_the_file():
    workflow = Workflow(Plan(read_config(ROOT / "config.yaml")))
    runs = {run.model.name: run for run in workflow.plan.runs}
    priorities = {
        name: workflow.train_priority(
            SimpleNamespace(dataset=run.dataset.name, model=name, run=Path(run.folder).name)
        )
        for name, run in runs.items()
    }
    assert priorities["fpa"] > 200
    assert all(priorities[name] < 100 for name in runs if name != "fpa")
    assert sorted(priorities, key=priorities.get, reverse=True) == list(runs)


def test_runs_are_planned_by_several_threads_at_once(tiny, tmp_path, monkeypatch):
    """As Snakemake does; the experiment is described once, by the first of them."""
    workflow = Workflow(Plan({**tiny, "results": str(tmp_path / "results")}))
    claims, claim = [], workflow.plan.claim

    def slow_claim():
        claims.append(None)
        time.sleep(0.1)
        claim()

    monkeypatch.setattr(workflow.plan, "claim", slow_claim)

    def write(run):
        wildcards = SimpleNamespace(
            dataset="digits", model=run.model.name, run=Path(run.folder).name
        )
        path = tmp_path / "results" / run.folder / "run.json"
        workflow.write_run(wildcards, str(path), str(path.with_name("plan.log")))
        return read_json(path)

    runs = workflow.plan.runs
    with ThreadPoolExecutor(len(runs)) as pool:
        assert list(pool.map(write, runs)) == [run.as_json() for run in runs]
    assert len(claims) == 1
    assert read_json(tmp_path / "results" / "experiment.json")["experiment"] == "tiny"


@pytest.mark.parametrize("name", list(MODELS_BY_NAME))
def test_declared_settings_are_those_of_the_constructor(name):
    declared = find_model(name, "class")
    derived = declare(declared.load())
    fields = {n: (f.annotation, f.default) for n, f in declared.settings.model_fields.items()}
    assert fields == {
        n: (f.annotation, f.default) for n, f in derived.settings.model_fields.items()
    }
    assert declared.paints == derived.paints
    assert declared.needs_base == hasattr(declared.load(), "start_from")


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("name", list(MODELS_BY_NAME))
def test_settings_know_for_which_images_networks_can_be_built(name, size):
    settings = resolve_settings(find_model(name, ""), MODELS_BY_NAME[name], "")
    base = resolve_settings(MODELS["FPA"], {}, "") if name.endswith("UNet") else None

    def outcome(check) -> str:
        try:
            check()
        except UserError as error:
            return str(error)
        return "fine"

    def build_on_meta() -> None:
        with torch.device("meta"):
            check_images(build(name, settings, size, 3, base), name, size, 3)

    if size == 8 and name.endswith("UNet"):
        return  # its base cannot be built for such images
    ours = outcome(lambda: check_settings(name, settings, size, 3, base))
    assert ours == outcome(build_on_meta)
