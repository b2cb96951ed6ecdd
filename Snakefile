# An experiment from its data sets to its tables and figures.
#
#   snakemake --cores all results/tables/fid.csv                   the default experiment's table
#   snakemake --cores all                                          every table, figure, the report
#   snakemake --cores all --configfile experiments/smoke.yaml      another experiment


import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.17")  # the first whose priority takes a function

ROOT = Path(str(workflow.current_basedir))
sys.path.insert(0, str(ROOT))

from fpa.workflow.snakemake_internals import Call, check_made

CALL = Call(workflow)


# Whoever brings a configuration brings all of it: merged into the default, it would be a mixture of
# two experiments. What it lacks is said by the check in common.smk.
if not config and not CALL.brings_configuration:

    configfile: ROOT / "config.yaml"


include: "workflow/rules/common.smk"


# The first rule is made when no target is named. With `default_target` it would also be made by the
# workflows that use this one as a module.
rule all:
    input:
        FPA.tables(),
        FPA.figures(),
        FPA.in_results(artifacts.REPORT),


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


onstart:
    FPA.plan.claim()


onsuccess:
    check_made(workflow.dag)
