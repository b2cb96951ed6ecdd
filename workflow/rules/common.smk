# The experiment, checked before anything runs. What the rules ask of it is in fpa/workflow/workflow.py.

from fpa.core import artifacts
from fpa.core.provenance import STAGES
from fpa.experiment.config import check_files
from fpa.workflow.snakemake_internals import skip_retries_on_user_error
from fpa.workflow.workflow import Workflow, prepare_environment
from fpa.reporting.results import files_of_runs
from fpa.reporting.tables import PUBLISHED, table_names

prepare_environment(ROOT)
skip_retries_on_user_error()

# Snakemake's own reader takes the last of two equal keys without a word.
if CALL.is_main_process:
    check_files(CALL.configfiles)

FPA = Workflow.start(config, main=CALL.is_main_process, shared=CALL.shares_work)
RUNTIME = FPA.runtime
# Snakemake's cache between workflows; without --cache it would warn of every rule in every call.
CACHE = "omit-software" if CALL.shares_work else False

# On a cluster every job has cores and GPUs to itself; the jobs of a group use one after the other
# what a training has (slurm/config.yaml).
TRAIN_GPUS, gpu_shares = FPA.train_gpus(CALL.gpus)
if gpu_shares is not None:
    CALL.set_gpus(gpu_shares)
elif CALL.is_on_a_cluster and not CALL.limits_gpus:
    CALL.set_gpus(RUNTIME.gpus)

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
        dataset=FPA.requested_outputs(CALL.words),
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
