# The experiment, checked before anything runs, and where each artifact lies.

import json
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from fpa.reporting import bundle, tables
from fpa.data.catalogue import SOURCES, downloadable, store_name
from fpa.common.errors import UserError
from fpa.evaluation.protocols import Space
from fpa.experiment.jobs import share_with_jobs
from fpa.experiment.plan import Experiment
from fpa.reporting import catalogue

share_with_jobs(workflow.basedir)

try:
    EXPERIMENT = Experiment(config)
    EXPERIMENT.check_before_start()
    if workflow.workflow_settings.cache is not None:
        EXPERIMENT.check_shareable()
except UserError as error:
    sys.exit(f"configuration error: {error}")

if workflow.is_main_process and EXPERIMENT.to_fetch():
    print(
        "not here, will be fetched:", ", ".join(EXPERIMENT.to_fetch()), file=sys.stderr
    )

RESULTS = str(EXPERIMENT.results)
DATA = str(EXPERIMENT.data)
CONFIG = EXPERIMENT.config
RUNTIME = CONFIG["runtime"]
EVALUATION = CONFIG["evaluation"]
# What a job that can use a GPU asks for.
GPUS = 0 if RUNTIME["device"] == "cpu" else 1
# `--resources gpu=n` counts the GPUs of this machine; each is shared by so many jobs. On a cluster,
# where `nodes` is set, every job has its own.
# A training on several takes them whole.
TRAIN_GPUS = GPUS * RUNTIME["gpus"]
if "gpu" in workflow.global_resources and workflow.resource_settings.nodes is None:
    limit = workflow.global_resources["gpu"].value
    workflow.register_resource("gpu", limit * RUNTIME["runs_per_gpu"])
    if RUNTIME["gpus"] > 1:
        TRAIN_GPUS *= RUNTIME["runs_per_gpu"]
# Snakemake's cache between workflows; without --cache it would warn of every rule in every call.
CACHE = "omit-software" if workflow.workflow_settings.cache is not None else False
RUNS = {run.folder: run for run in EXPERIMENT.all_runs()}
STORES = {store_name(dataset): dataset for dataset in EXPERIMENT.datasets.values()}

RUN = f"{RESULTS}/runs/{{dataset}}/{{model}}/{{run}}"
LOGS = f"{RESULTS}/logs"
PROTOCOLS = EXPERIMENT.protocols
CHECKPOINT = EVALUATION["checkpoint"]
N_SAMPLES = max(protocol.n_fake for protocol in PROTOCOLS.values())
SAMPLES = EXPERIMENT.samples
SCORED = {EXPERIMENT.score_name(name): name for name in PROTOCOLS}
SCORES = [
    f"{RESULTS}/{run.folder}/{name}.json" for name in SCORED for run in EXPERIMENT.runs
]

TABLES = [
    f"{RESULTS}/tables/{name}.{kind}"
    for name in ("fid", "kid", "scores", "models")
    for kind in ("csv", "md", "tex")
]
PUBLISHED = CONFIG["published"] or str(tables.PUBLISHED)
LABELS = json.dumps({name: EXPERIMENT.label(name) for name in EXPERIMENT.models})

FIRST_SEED = CONFIG["seeds"][:1]
FIRST_RUNS = [run for run in EXPERIMENT.runs if run.seed in FIRST_SEED]
PICTURES = CONFIG["figures"]
ABOUT = EXPERIMENT.describe()
DRAWN = catalogue.figures(ABOUT)
FIGURES = [f"{RESULTS}/{file}" for spec in DRAWN.values() for file in spec.files]
REPORT = f"{RESULTS}/report.html"
BUNDLE = f"{RESULTS}/bundle.tar.gz"
BUNDLED = bundle.contents(ABOUT, CONFIG["bundle"]["weights"])


wildcard_constraints:
    dataset=r"[^/]+",
    model=r"[^/]+",
    run=r"seed\d+-[0-9a-f]+",
    store=r"[^/]+",
    extractor=r"[^/]+",
    archive=r"[^/]+",
    space=r"[^/]+",
    images=r"\d+",
    score=r"score-[^/]+",
    figure=r"[^/]+",
    number=r"\d+",
    frames=r"\d+",


def run_of(wildcards):
    """The run that a job's wildcards name."""
    return RUNS[f"runs/{wildcards.dataset}/{wildcards.model}/{wildcards.run}"]


def run_json(wildcards):
    """The run's resolved configuration, for the command line."""
    return json.dumps(run_of(wildcards).config, sort_keys=True)


def dataset_json(wildcards):
    """The data set's settings, for the command line."""
    return json.dumps(STORES[wildcards.store], sort_keys=True)


def archive_source(wildcards):
    """A data set that comes in this archive."""
    return next(
        n for n, s in SOURCES.items() if s.url and s.archive == wildcards.archive
    )


def archive_to_fetch(wildcards):
    """The archive of a prepared data set, if it is fetched unattended."""
    dataset = STORES[wildcards.store]
    return [dataset["path"]] if downloadable(dataset, EXPERIMENT.data) else []


def extractor_weights(wildcards):
    """The configured folder of an extractor that needs files."""
    folder = CONFIG["inception_weights"]
    return (
        ["--weights", folder]
        if folder and wildcards.extractor == "inception_v3"
        else []
    )


def store_files(wildcards):
    """The prepared images of a run's data set."""
    folder = f"{DATA}/{run_of(wildcards).store}"
    return {"images": f"{folder}/images.npy", "manifest": f"{folder}/manifest.json"}


def ancient_store_files(wildcards):
    """The same for what stays good when they are prepared again."""
    return {name: ancient(path) for name, path in store_files(wildcards).items()}


def neighbour_features(wildcards):
    """The features by which samples are compared with training images: the first protocol's."""
    protocol, run = next(iter(PROTOCOLS.values())), run_of(wildcards)
    sampled = f"features-{CHECKPOINT}-n{protocol.n_fake}-seed{EVALUATION['seed']}"
    return {
        "fake": f"{RESULTS}/{run.folder}/{sampled}.{protocol.space}.npy",
        "real": ancient(real_features(run.store, protocol.space)),
    }


def real_features(store, space):
    """The features of a prepared data set's images."""
    return f"{DATA}/{store}/features.{space}.npy"


def extractor_file(extractor):
    """The description of an extractor whose weights were found."""
    return f"{DATA}/extractors/{extractor}.json"


def extractor_of(wildcards):
    """The description of a feature space's network."""
    return ancient(extractor_file(Space.parse(wildcards.space).extractor))


def protocol_of(wildcards):
    """The protocol of a score file."""
    return PROTOCOLS[SCORED[wildcards.score]]


def score_inputs(wildcards):
    """The features that a run is scored by, and, for the cross-check, those of both libraries."""
    run, protocol = run_of(wildcards), protocol_of(wildcards)
    folder = f"{RESULTS}/{run.folder}"
    sampled = f"features-{CHECKPOINT}-n{protocol.n_fake}-seed{EVALUATION['seed']}"

    def pair(space):
        return [
            f"{folder}/{sampled}.{space}.npy",
            ancient(real_features(run.store, space)),
        ]

    inputs = {"features": pair(protocol.space)}
    if EVALUATION["cross_check"]:
        inputs["check"] = [path for s in protocol.checked_spaces for path in pair(s)]
    return inputs


def score_options(wildcards, input):
    """How a run is measured, on the command line."""
    protocol = protocol_of(wildcards)
    options = ["--fake", input.features[0], "--real", input.features[1]]
    if EVALUATION["cross_check"]:
        options += ["--check", *input.check]
    if protocol.n_real:
        options += ["--n-real", str(protocol.n_real)]
    options += ["--protocol", protocol.name, "--metrics", *EVALUATION["metrics"]]
    for key in (
        "checkpoint",
        "frechet",
        "kid_subsets",
        "kid_subset_size",
        "groups",
        "seed",
    ):
        options += [f"--{key.replace('_', '-')}", str(EVALUATION[key])]
    return options


def train_inputs(wildcards):
    """What a training needs: images, and, where the run asks for them, base and real features."""
    run = run_of(wildcards)
    inputs = store_files(wildcards)
    if run.training["watch_kimg"]:
        extractor = run.training["watch_extractor"]
        inputs["real"] = real_features(run.store, Space(extractor, "clean", "array"))
        inputs["extractor"] = extractor_file(extractor)
    if run.base:
        inputs["base"] = f"{RESULTS}/{run.base.folder}/weights.safetensors"
    # What is there stays good: a run's folder names everything that it depends on, and the
    # training itself refuses images that changed.
    return {name: ancient(path) for name, path in inputs.items()}


def train_options(wildcards, input):
    """The same on the command line."""
    options = ["--store", str(Path(input.images).parent)]
    if "real" in input.keys():
        options += ["--real", input.real, "--extractor", input.extractor]
    if "base" in input.keys():
        options += ["--base", str(Path(input.base).parent)]
    return options


def drawn_artifacts(wildcards):
    """What a figure shows."""
    return [f"{RESULTS}/{part.path}" for part in DRAWN[wildcards.figure].inputs]


def figure_json(wildcards):
    """All else that a figure depends on: a change draws it again."""
    return json.dumps(DRAWN[wildcards.figure].as_json(), sort_keys=True)


def figure_caption(wildcards):
    """What a figure shows and what made it."""
    return DRAWN[wildcards.figure].caption


def figure_category(wildcards):
    """A figure's place in Snakemake's report."""
    return DRAWN[wildcards.figure].category


def figure_labels(wildcards):
    """A figure's row in Snakemake's report."""
    return dict(DRAWN[wildcards.figure].labels)


def player_paintings():
    """The strokes that the report's player shows."""
    return sorted(
        {
            f"{RESULTS}/{part.path}"
            for spec in DRAWN.values()
            if spec.kind in ("painting", "refined")
            for part in spec.inputs
        }
    )
