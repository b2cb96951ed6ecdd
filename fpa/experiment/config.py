"""The configuration: one pydantic model with every key, its default, its range and its meaning.

The reference page (docs/generate.py) is made from it. `check_config` turns what a YAML file holds into a
`Config`, or says in one line what is wrong: where, what was found, what was expected, what to do.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    StringConstraints,
    Tag,
    ValidationError,
    WrapValidator,
)

from fpa.core.errors import UserError, did_you_mean, explain
from fpa.core.registry import load_plugins
from fpa.data.sources import SOURCES, DatasetSpec, resolve, store_name
from fpa.experiment.yaml_safety import check_plain, parse_value, read_yaml

LARGEST_SEED = 2**31 - 1
LONGEST_NAME, LONGEST_PATH = 255, 3_500
"""Bytes of a file's or folder's name, and of a configured path: Linux takes 4,096 with what is below."""
LONGEST_PART = 64
"""Characters of a name of which two, and a digest, make the name of a file."""
MODEL_OF_A_RUN = ("class", "base", "settings", "training", "seeds")
"""Keys of a model that a finished run (`models.*.run`) brings itself."""


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list in which nothing stands twice."""
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"{json.dumps(twice)} stands there twice; name it once")
    return values


def _as_given(value: Any, validate: Any) -> Any:
    """A number stays the whole number or the float that it was given as: 64 is written as 64."""
    validate(value)
    return value


def _whole(value: Any) -> Any:
    """A choice between numbers, which 16.0 and true would be equal to."""
    if isinstance(value, bool | float):
        near = f"; write {int(value)}" if value % 1 == 0 else ""
        raise ValueError(f"expected a whole number, found {json.dumps(value)}{near}")
    return value


def _fits(path: str) -> str:
    """A path that a file system can have, with room for what is made below it."""
    longest = max((len(os.fsencode(part)) for part in path.split("/")), default=0)
    if longest > LONGEST_NAME or len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(
            f"expected a path of at most {LONGEST_PATH:,} bytes with names of at most {LONGEST_NAME}, "
            f"found {len(os.fsencode(path)):,} bytes with a name of {longest}; choose a shorter one"
        )
    return path


T = TypeVar("T")
FilePath = Annotated[str, AfterValidator(_fits)]
Once = Annotated[tuple[T, ...], AfterValidator(_once)]
Number = Annotated[
    float, WrapValidator(_as_given), PlainSerializer(lambda value: value, return_type=Any)
]
Positive = Annotated[Number, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Count = Annotated[int, Field(ge=1)]
Few = Annotated[int, Field(ge=1, le=10_000)]
"""Of what is drawn, and kept in memory: as many as the verbs take."""
Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*$", max_length=LONGEST_PART)
]
"""Of a data set or model: it becomes part of file names, in which `-` separates."""
ProtocolName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=LONGEST_PART)
]


class Section(BaseModel):
    """A part of the configuration: no other keys, and no value is taken for one of another type."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class DatasetSettings(Section):
    """One data set."""

    source: str | None = None
    """Where the images come from (celeba, lsun_church, afhq_cat, afhq_dog, afhq_wild, metfaces,
    digits, or folder for your own); null for the data set's own name."""
    path: FilePath | None = None
    """The archive (zip, tar) or unpacked folder to read; null for the official archive in
    <data>/archives. For source folder it is part of what the data set is."""
    count: Count | None = None
    """Images that there must be; null for what the source is known to hold (of source folder, any
    number)."""
    max_unreadable: int = Field(0, ge=0)
    """Images that may be left out because they cannot be read."""
    resolution: Annotated[Literal[8, 16, 32, 64, 128, 256], BeforeValidator(_whole)]
    """Width and height (px) that images are brought to."""
    channels: Annotated[Literal[1, 3], BeforeValidator(_whole)] = 3
    """1 for grey, 3 for RGB."""
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    """Resize filter, with antialiasing where images shrink; the paper's is bilinear."""


class TrainingSettings(Section):
    """Budget of each training."""

    kimg: Positive = 9000
    """Real images shown to the discriminator, in thousands; 9000 = 450,000 steps of 20."""
    batch_size: Count = 20
    """Images a step."""
    checkpoint_kimg: Positive = 20
    """Resumable state is saved after so many thousand images, and a NaN loss goes back to it."""
    watch_kimg: Annotated[Number, Field(ge=0)] = 100
    """A quick score of the EMA generator (Fréchet distance, precision and recall) after so many
    thousand images; 0 for never."""
    watch_images: int = Field(10000, ge=4)
    """Samples of each such quick score."""
    watch_protocol: str | None = None
    """Protocol of the experiment whose files, resize and network the quick score uses, and which so
    chooses the best checkpoint; null for the experiment's first."""


class ModelSettings(Section):
    """One model."""

    class_: str | None = Field(None, alias="class")
    """What builds the model, as package.module:Class (see fpa/models/interface.py); null with run.
    """
    run: FilePath | None = None
    """Folder of a finished run, or of an imported one (python -m fpa import-official), that is
    scored and shown in the place of a training; it stands for every seed. Class, base, settings and
    training are that run's. null for a training."""
    label: str | None = None
    """Name in tables and figures; null for the model's own name."""
    base: str | None = None
    """Model whose finished run (same data set and seed) this one starts from; null for none."""
    settings: dict[str, Any] = {}
    """Arguments of the class; what is left out takes the class's default."""
    training: TrainingSettings = TrainingSettings()
    """Values that replace those of the experiment's training section for this model."""
    seeds: Annotated[Once[Seed], Field(min_length=1)] | None = None
    """Those of the experiment's seeds that this model is trained with, the first among them; null
    for all."""


class ProtocolSettings(Section):
    """One protocol; what is not given is the known protocol's own."""

    extractor: str | None = None
    """Feature network and its input size: inception_v3, efficientnet_lite0-<n>px with n from 32 to
    512, dinov2_vitl14, clip_vit_l14_336, lpips_vgg16 or another of docs/evaluation.md; null, here
    and below, for the known protocol's own."""
    resize: str | None = None
    """Way to the network's input size: clean (Pillow bicubic on floats), pytorch or tensorflow
    (bilinear, inception_v3 only); pairs, for lpips_vgg16 alone, measures paths between latents.
    """
    format: Literal["array", "png", "jpeg"] | None = None
    """File format that real and generated images go through: array (none), png or jpeg."""
    n_fake: Annotated[int, Field(ge=2, le=100_000_000)] | None = None
    """Samples of each model; with ppl, paths."""
    n_real: Annotated[int, Field(ge=2)] | None = None
    """Real images, drawn at random; null for all."""


class EvaluationSettings(Section):
    """How finished models are scored."""

    protocols: dict[ProtocolName, ProtocolSettings] = Field(
        {"quick": ProtocolSettings()}, min_length=1
    )
    """Protocols by name, the first one for the short tables' order and the pictures. Known are
    paper (pytorch-fid's network and resize, JPEG files), clean (clean-fid's way), quick (a network
    that installs with pip), dinov2, clip and ppl (perceptual path length); what is given here
    replaces their settings, and any other name is a protocol of your own."""
    checkpoint: Literal["best", "last"] = "best"
    """Which EMA generator is scored and shown: best by the training's quick score (as in the
    paper), or last."""
    metrics: Once[str] = Field(
        ("fid", "fid_infinity", "kid", "inception_score", "precision", "recall"), min_length=1
    )
    """What is measured - fid, fid_infinity, kid, cmmd, inception_score, precision, recall, or a
    metric of a plugin; inception_score needs cross_check. precision and recall are of equally many
    real and generated images, at most 10,000."""
    cross_check: bool = True
    """Compute features and FID a second time with torch-fidelity; a relative difference above 1e-3
    ends the run."""
    frechet: Literal["symmetric", "clean_fid"] = "symmetric"
    """Fréchet distance by singular values (symmetric: exact and fast) or by clean-fid's own
    function (clean_fid)."""
    seed: Seed = 0
    """Seed of the samples' latents and of all random subsets."""
    kid_subsets: int = Field(100, ge=1, le=100_000)
    """Random subsets that KID averages over."""
    kid_subset_size: int = Field(1000, ge=2)
    """Images in each subset, at most."""
    groups: int = Field(10, ge=4)
    """Parts that the samples are split into for sampling errors and for FID_infinity."""


class FigureSettings(Section):
    """What the pictures show."""

    grid: Few = 64
    """Samples (and real images) in a grid."""
    real_images: bool = True
    """Real images beside samples, and those nearest to samples. Say false where their licence does
    not let you pass them on: figures, page and bundle then hold none."""
    paintings: Few = 8
    """Paintings whose traces are saved for the figures and the report's player."""
    strips: Annotated[Once[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """Which of them are drawn step by step, counted from 0; null for the first three."""
    strip_steps: Annotated[
        Annotated[int, Field(ge=2), Tag("<number>")]
        | Annotated[tuple[Count, ...], Field(min_length=1), Tag("<list>")],
        Discriminator(lambda value: "<list>" if isinstance(value, list | tuple) else "<number>"),
    ] = 64
    """Steps shown of a painting - a number for so many at most, spread evenly, or a list of steps,
    counted from 1."""
    strip_columns: int = Field(16, ge=2)
    """Steps in a line of a painting strip."""
    statistics: int = Field(256, ge=1, le=1_000_000)
    """Paintings behind the step statistics."""
    interpolations: Few = 3
    """Pairs of latents that each model interpolates between."""
    frames: int = Field(12, ge=2, le=10_000)
    """Images from one latent to the other, both included."""
    target: Positive | None = None
    """Fréchet distance of quick scores for the table of images and hours to it; null for the lowest
    that every model reaches."""
    neighbours: Few = 10
    """Samples of each model that are shown with their nearest training images."""


class BundleSettings(Section):
    """What `results/bundle.tar.gz` holds besides all that tables, figures and report are made from."""

    weights: bool = False
    """The trained networks of every run too."""


class RuntimeSettings(Section):
    """How the work is done; nothing here changes what is made, or makes it again."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    train_threads: int = Field(2, ge=1, le=1024)
    """CPU threads of one training; another number rounds differently in the last bits."""
    gpus: Count = 1
    """GPUs of one training, which share every batch; on the CPU, processes. Changes nothing but
    rounding."""
    runs_per_gpu: Count = 1
    """Jobs that share one GPU of this machine under `--resources gpu=<number of GPUs>`; on a
    cluster each has its own."""
    precision: Once[
        Literal["tf32_matmul", "tf32_convolution", "tf32_lstm", "autocast_bfloat16"]
    ] = ()
    """What of a training may be less exact than float32 on a GPU, for speed: TF32 for matrix
    products, convolutions or cuDNN's LSTM, and training steps in bfloat16. Nothing by default, as
    in the official code of StyleGAN2-ADA. Every run records what it used."""
    channels_last: bool = False
    """Give convolutions their maps with the channels next to each other, as GPUs' matrix units want
    them. Changes nothing but rounding."""
    compile: Literal["none", "graphs", "compile"] = "none"
    """Replay generator and discriminator as CUDA graphs (`graphs`), or compile them by torch
    (`compile`). Where that fails, a training says why and goes on without. Changes nothing but
    rounding."""
    loggers: Once[str] = ()
    """What else is told of every training's history and snapshots, beside the results folder:
    tensorboard, wandb, mlflow, or a plugin's. Each needs its package (`pip install
    fpa[tensorboard]`, ...). None can change or stop a training."""
    cost_seconds: Annotated[Number, Field(gt=0, le=3600)] = 1
    """Seconds for which a model's speed is measured, in training and in sampling each."""
    log_every: Count = 100
    """Steps between two rows of a training history."""


class Config(Section):
    """What to compare. Model settings (`models.*.settings`) are checked against the model's own
    constructor; `python -m fpa models` lists them with defaults."""

    experiment: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    ]
    """Name of the experiment; a results folder belongs to one experiment."""
    plugins: Once[str] = ()
    """Python modules that register learning rules, metrics, extractors, data sources or figures
    that you have written; imported before anything else is read."""
    results: FilePath | None = None
    """Folder for everything the experiment makes; null for results/<experiment>."""
    data: FilePath = "data"
    """Folder of prepared data sets, extractors and real features; shared between experiments
    because every entry is named by what it holds."""
    inception_weights: FilePath | None = None
    """Folder with inception-2015-12-05.pt and pt_inception-2015-12-05-6726825d.pth for the
    extractor inception_v3; null to look in the usual caches and else download them."""
    seeds: Once[Seed] = Field((0,), min_length=1)
    """Training seeds; every model is trained once with each on every data set."""
    datasets: dict[Name, DatasetSettings] = Field(min_length=1)
    """Data sets by name."""
    models: dict[Name, ModelSettings] = Field(min_length=1)
    """Models by name."""
    training: TrainingSettings = TrainingSettings()
    """Budget of each training."""
    evaluation: EvaluationSettings = EvaluationSettings()
    published: FilePath | None = None
    """CSV of published scores (dataset, model, metric, value, protocol, source) for the tables'
    column; null for the published.csv of this project."""
    claims: FilePath | None = None
    """YAML file of claims that are judged, as in experiments/claims.yaml; those about models that
    the experiment lacks are left out. null for none."""
    figures: FigureSettings = FigureSettings()
    bundle: BundleSettings = BundleSettings()
    runtime: RuntimeSettings = RuntimeSettings()


# Reading -----------------------------------------------------------------------------------------


def read_config(path: str | Path) -> dict[str, Any]:
    """A configuration file as it stands; UserError when it is missing or not YAML."""
    config = read_yaml(path, "the configuration")
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no configuration (expected keys and values at the top)")
    return config


def check_files(paths: Iterable[str | Path]) -> None:
    """Read configuration files that Snakemake has read; ends the program with a line for a mistake."""
    try:
        for path in paths:
            # JSON may hold tabs where YAML may not.
            if Path(path).suffix != ".json":
                read_config(path)
    except UserError as error:
        sys.exit(f"configuration error: {error}")


def check_config(config: Mapping[str, Any]) -> Config:
    """A configuration's content, checked; UserError names the first thing wrong with it.

    Every model carries its whole budget: its own `training` on top of the experiment's.
    """
    check_plain(config)
    # Snakemake hands over its own dictionary types.
    plain = json.loads(json.dumps(config))
    models, training = plain.get("models"), plain.get("training", {})
    for name, model in models.items() if isinstance(models, dict) else ():
        if not isinstance(model, dict):
            continue
        own = next((key for key in MODEL_OF_A_RUN if model.get("run") and model.get(key)), None)
        if own:
            raise UserError(
                f"models.{name}.{own}: a finished run has its own; leave it out beside run"
            )
        if isinstance(training, dict) and isinstance(model.get("training", {}), dict):
            model["training"] = {**training, **model.get("training", {})}
    return check_section(Config, plain, whole="configuration")


S = TypeVar("S", bound=BaseModel)


def check_section(
    section: type[S], values: Any, where: str = "", whole: str = "", tolerant: bool = False
) -> S:
    """Plain data as a section of the configuration, or another model; UserError for what is wrong.

    where: the place that the data has in a configuration or file. tolerant: leave keys out that are
    not known, as of a later version.
    """
    try:
        text = json.dumps(values)
        return section.model_validate_json(text, extra="ignore" if tolerant else None)
    except ValidationError as error:
        raise UserError(explain(error, section, where, whole=whole)) from None


def resolve_dataset(
    name: str, words: Sequence[str], config_path: str | None
) -> tuple[DatasetSpec, Path]:
    """A data set's complete settings and the usual folder of its prepared images.

    words: settings as KEY=VALUE, which replace those of the configuration (None for none). UserError
    for a data set or a setting that nobody knows.
    """
    known: dict[str, DatasetSettings] = {}
    data = Path("data")
    if config_path is not None:
        config = check_config(read_config(config_path))
        load_plugins(config.plugins)
        known, data = config.datasets, Path(config.data)
    pairs = [word.partition("=") for word in words]
    if any(not sign for _, sign, _ in pairs):
        raise UserError(f"expected settings as key=value, found {' '.join(words)}")
    keys = [key for key, _, _ in pairs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(f"{name}.{twice} is given twice; leave one out")
    settings = {key: parse_value(value, key) for key, _, value in pairs}
    if name not in known and name not in SOURCES and "source" not in settings:
        near = did_you_mean(name, [*known, *SOURCES])
        who = f"neither {config_path} nor this project knows a" if config_path else "there is no"
        own = (
            " (for images of your own: source=folder path=<folder or zip>)"
            if "path" in settings
            else ""
        )
        raise UserError(f"{who} data set '{name}'{near}{own}")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"expected a data set's name of letters, digits, '_', '.' and '-', which its folder gets, "
            f"found {name!r}"
        )
    given = known[name].model_dump() if name in known else {"resolution": 64}
    chosen = check_section(DatasetSettings, {**given, **settings}, name)
    spec = resolve(name, chosen.model_dump(), data, name)
    return spec, data / store_name(spec)
