# Tables from score and cost files.


rule scores_table:
    input:
        scores=SCORES,
        published=PUBLISHED,
    output:
        csv=report(
            f"{RESULTS}/tables/{{table}}.csv",
            caption="../report/scores_table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "CSV"},
        ),
        md=f"{RESULTS}/tables/{{table}}.md",
        tex=f"{RESULTS}/tables/{{table}}.tex",
    log:
        f"{LOGS}/tables/{{table}}.log",
    wildcard_constraints:
        table="fid|kid|scores",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=EXPERIMENT.name,
        labels=LABELS,
    message:
        "Table {wildcards.table} of {EXPERIMENT.name}"
    shell:
        "python -m fpa table {wildcards.table} {input.scores:q} --experiment {params.experiment:q}"
        " --labels {params.labels:q} --published {input.published:q}"
        " --out {output.csv:q} --log {log:q}"


rule models_table:
    input:
        [f"{RESULTS}/{run.folder}/cost.json" for run in FIRST_RUNS],
    output:
        csv=report(
            f"{RESULTS}/tables/models.csv",
            caption="../report/models.rst",
            category="Tables",
            labels={"table": "models", "format": "CSV"},
        ),
        md=f"{RESULTS}/tables/models.md",
        tex=f"{RESULTS}/tables/models.tex",
    log:
        f"{LOGS}/tables/models.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=EXPERIMENT.name,
        labels=LABELS,
    message:
        "Table of the models of {EXPERIMENT.name}"
    shell:
        "python -m fpa table models {input:q} --experiment {params.experiment:q}"
        " --labels {params.labels:q} --out {output.csv:q} --log {log:q}"
