# The page that people read, from every table and figure.


rule report_page:
    input:
        tables=TABLES,
        figures=FIGURES,
        paintings=player_paintings(),
        summaries=[f"{RESULTS}/{run.folder}/train.json" for run in EXPERIMENT.runs],
    output:
        REPORT,
    log:
        f"{LOGS}/report.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        results=subpath(output[0], parent=True),
        about=EXPERIMENT.describe(),
    message:
        "Writing {output}"
    shell:
        "python -m fpa report {params.results:q} --as-is --log {log:q}"
