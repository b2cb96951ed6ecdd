# The experiment, checked before anything runs. What the rules ask of it is in fpa/experiment/workflow.py.

import sys
from pathlib import Path

ROOT = Path(str(workflow.current_basedir)).parents[1]
sys.path.insert(0, str(ROOT))

from fpa.common import artifacts
from fpa.common.stages import STAGES
from fpa.experiment.environment import prepare_environment
from fpa.experiment.workflow import CONSTRAINTS, Workflow
from fpa.reporting.tables import OF_RUNS, PUBLISHED, files_of_runs, table_names

prepare_environment(ROOT)

FPA = Workflow.start(
    config,
    main=workflow.is_main_process,
    shared=workflow.workflow_settings.cache is not None,
)
RUNTIME = FPA.runtime
# Snakemake's cache between workflows; without --cache it would warn of every rule in every call.
CACHE = "omit-software" if workflow.workflow_settings.cache is not None else False

# On a cluster, where `nodes` is set, every job has GPUs to itself.
shared_gpus = None
if "gpu" in workflow.global_resources and workflow.resource_settings.nodes is None:
    shared_gpus = workflow.global_resources["gpu"].value
TRAIN_GPUS, gpu_shares = FPA.train_gpus(shared_gpus)
if gpu_shares is not None:
    workflow.register_resource("gpu", gpu_shares)

# The folders' names alone do not tell a run's log from another's.
OF_RUN = "{dataset}-{model}-{run}"


wildcard_constraints:
    **CONSTRAINTS,
