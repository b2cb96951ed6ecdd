# The experiment, checked before anything runs, and where each artifact lies.

import json
import os
import shlex
import sys
from pathlib import Path

ROOT = workflow.basedir
# Jobs run this interpreter and this checkout's code, activated or not, installed or not.
sys.path.insert(0, ROOT)
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"]]
)
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [ROOT, os.environ.get("PYTHONPATH")])
)
# Jobs share the terminal: whole lines instead of live bars.
os.environ.setdefault("FPA_PROGRESS", "lines")

from fpa.errors import UserError
from fpa.plan import Experiment, store_name

try:
    EXPERIMENT = Experiment(config)
    EXPERIMENT.check_before_start()
except UserError as error:
    sys.exit(f"configuration error: {error}")

RESULTS = str(EXPERIMENT.results)
DATA = str(EXPERIMENT.data)
CONFIG = EXPERIMENT.config
RUNTIME = CONFIG["runtime"]
EVALUATION = CONFIG["evaluation"]
RUNS = {run.folder: run for run in EXPERIMENT.all_runs()}
STORES = {store_name(dataset): dataset for dataset in EXPERIMENT.datasets.values()}

RUN = RESULTS + "/runs/{dataset}/{model}/{run}"
LOGS = RESULTS + "/logs"
SAMPLES = f"n{EVALUATION['n_fake']}-seed{EVALUATION['seed']}"
SCORE = "-".join(
    [
        EVALUATION["extractor"],
        SAMPLES,
        f"kid{EVALUATION['kid_subsets']}x{EVALUATION['kid_subset_size']}",
    ]
)


wildcard_constraints:
    dataset=r"[^/]+",
    model=r"[^/]+",
    run=r"seed\d+-[0-9a-f]+",
    store=r"[^/]+",
    extractor=r"[^/]+",


def run_of(wildcards):
    """The run that a job's wildcards name."""
    return RUNS[f"runs/{wildcards.dataset}/{wildcards.model}/{wildcards.run}"]


def run_json(wildcards):
    """The run's resolved configuration, for the command line."""
    return json.dumps(run_of(wildcards).config, sort_keys=True)


def dataset_json(wildcards):
    """The data set's settings, for the command line."""
    return json.dumps(STORES[wildcards.store], sort_keys=True)


def extractor_weights(wildcards):
    """The configured weights of an extractor that needs a file."""
    path = CONFIG["inception_weights"]
    return ["--weights", path] if path and wildcards.extractor == "inception_v3" else []


def store_files(wildcards):
    """The prepared images of a run's data set."""
    folder = f"{DATA}/{run_of(wildcards).store}"
    return {"images": f"{folder}/images.npy", "manifest": f"{folder}/manifest.json"}


def real_features(store, extractor):
    """The features of a prepared data set's images."""
    return f"{DATA}/{store}/features-{extractor}.npz"


def extractor_file(extractor):
    """The description of an extractor whose weights were found."""
    return f"{DATA}/extractors/{extractor}.json"


def evaluation_reference(wildcards):
    """The real features that a run is scored against."""
    return real_features(run_of(wildcards).store, EVALUATION["extractor"])


def runs_of(dataset, models=None, seeds=None):
    """Folders of the experiment's runs on a data set, in the order of the configuration."""
    return [
        f"{RESULTS}/{run.folder}"
        for run in EXPERIMENT.runs
        if run.dataset["name"] == dataset
        and (models is None or run.model["name"] in models)
        and (seeds is None or run.seed in seeds)
    ]
