# An experiment from its data sets to its tables and figures.
#
#   snakemake --cores all results/tables/fid.csv                   the default experiment's table
#   snakemake --cores all                                          every table, figure, the report
#   snakemake --cores all --configfile experiments/smoke.yaml      another experiment


from snakemake.utils import min_version

min_version("9.0")


# A --configfile stands alone: merging it into the default would mix two experiments' models.
if "experiment" not in config:

    configfile: f"{workflow.basedir}/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


onstart:
    EXPERIMENT.claim()


rule all:
    default_target: True
    input:
        TABLES,
        FIGURES,
        REPORT,
