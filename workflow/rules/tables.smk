# Tables from score and cost files.


rule fid_table:
    input:
        [f"{RESULTS}/{run.folder}/score-{SCORE}.json" for run in EXPERIMENT.runs],
    output:
        csv=report(
            f"{RESULTS}/tables/fid.csv",
            caption="../report/fid.rst",
            category="Tables",
            labels={"table": "FID and KID", "format": "CSV"},
        ),
        md=f"{RESULTS}/tables/fid.md",
        tex=f"{RESULTS}/tables/fid.tex",
    log:
        f"{LOGS}/tables/fid.log",
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
        "Table of {EXPERIMENT.name}"
    shell:
        "python -m fpa table fid {input:q} --experiment {params.experiment:q}"
        " --labels {params.labels:q} --out {output.csv:q} --log {log:q}"


rule models_table:
    input:
        [f"{RESULTS}/{run.folder}/cost.json" for run in FIRST_RUNS],
    output:
        csv=report(
            f"{RESULTS}/tables/models.csv",
            caption="../report/models.rst",
            category="Tables",
            labels={"table": "Size and cost", "format": "CSV"},
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
