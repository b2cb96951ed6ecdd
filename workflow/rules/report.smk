# The page that people read, from every table and figure, and the file that all of it travels in.


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
        about=ABOUT,
    message:
        "Writing {output}"
    shell:
        "python -m fpa report {params.results:q} --as-is --log {log:q}"


rule bundle:
    input:
        [f"{RESULTS}/{name}" for name in BUNDLED],
    output:
        BUNDLE,
    log:
        f"{LOGS}/bundle.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        results=subpath(output[0], parent=True),
        about=ABOUT,
        weights="--weights" if CONFIG["bundle"]["weights"] else "",
    message:
        "Packing {output}"
    shell:
        "python -m fpa bundle {params.results:q} {params.weights} --out {output:q} --log {log:q}"
