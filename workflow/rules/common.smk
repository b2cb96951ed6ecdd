# The experiment, checked before anything runs. What the rules ask of it is in fpa/workflow/workflow.py.

import sys
from pathlib import Path

ROOT = Path(str(workflow.current_basedir)).parents[1]
sys.path.insert(0, str(ROOT))

from fpa.core import artifacts
from fpa.core.stages import STAGES
from fpa.workflow import retries
from fpa.experiment.config import check_files
from fpa.workflow.environment import prepare_environment
from fpa.workflow.workflow import Workflow
from fpa.reporting.tables import OF_RUNS, PUBLISHED, files_of_runs, table_names

prepare_environment(ROOT)
retries.only_what_may_end_otherwise()

# Snakemake's own reader takes the last of two equal keys without a word.
if workflow.is_main_process:
    check_files(workflow.configfiles)

FPA = Workflow.start(
    config,
    main=workflow.is_main_process,
    shared=workflow.workflow_settings.cache is not None,
)
RUNTIME = FPA.runtime
# Snakemake's cache between workflows; without --cache it would warn of every rule in every call.
CACHE = "omit-software" if workflow.workflow_settings.cache is not None else False

# On a cluster, where `nodes` is set, every job has cores and GPUs to itself.
ON_A_CLUSTER = workflow.resource_settings.nodes is not None
ON_THIS_MACHINE = workflow.is_main_process and not ON_A_CLUSTER
shared_gpus = None
if "gpu" in workflow.global_resources and not ON_A_CLUSTER:
    shared_gpus = workflow.global_resources["gpu"].value
TRAIN_GPUS, gpu_shares = FPA.train_gpus(shared_gpus)
if gpu_shares is not None:
    workflow.register_resource("gpu", gpu_shares)
if ON_A_CLUSTER and "gpu" not in workflow.global_resources:
    # The jobs of a group use one after the other what a training has (slurm/config.yaml).
    workflow.register_resource("gpu", RUNTIME.gpus)

# The folders' names alone do not tell a run's log from another's.
OF_RUN = "{dataset}-{model}-{run}"


wildcard_constraints:
    **FPA.constraints(),


# Finished weights, histories and scores, where they are named as targets: there is nothing to do.
rule kept:
    output:
        update(FPA.in_run("{kept}")),
    log:
        FPA.log("kept", f"{OF_RUN}-{{kept}}.log"),
    wildcard_constraints:
        dataset=FPA.asked_and_kept(sys.argv),
        kept="[^/]+",
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=100,
        runtime=5,
    message:
        "{output} is finished"
    shell:
        "echo {output:q} > {log:q}"
