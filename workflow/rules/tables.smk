# Tables from score and cost files.


rule scores_table:
    input:
        scores=FPA.scores(),
        published=FPA.config.published or str(PUBLISHED),
    output:
        csv=report(
            FPA.in_results(artifacts.table("{table}")),
            caption="../report/scores_table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "CSV"},
        ),
        md=FPA.in_results(artifacts.table("{table}", "md")),
        tex=FPA.in_results(artifacts.table("{table}", "tex")),
    log:
        FPA.log("tables/{table}.log"),
    wildcard_constraints:
        table="|".join(table_names(FPA.experiment, "scores")),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=FPA.experiment.name,
        results=subpath(output.csv, ancestor=2),
        models=FPA.about["models"],
        claims=FPA.about.get("claims", []),
    message:
        "Table {wildcards.table} of {params.experiment}"
    shell:
        "python -m fpa table {wildcards.table} {input.scores:q} --results {params.results:q}"
        " --published {input.published:q}"
        " --out {output.csv:q} --log {log:q}"


rule runs_table:
    input:
        [FPA.in_results(path) for path in files_of_runs(FPA.experiment)],
    output:
        csv=report(
            FPA.in_results(artifacts.table("{table}")),
            caption="../report/runs_table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "CSV"},
        ),
        md=FPA.in_results(artifacts.table("{table}", "md")),
        tex=FPA.in_results(artifacts.table("{table}", "tex")),
    log:
        FPA.log("tables/{table}.log"),
    wildcard_constraints:
        table="|".join(table_names(FPA.experiment, "runs")),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=FPA.experiment.name,
        results=subpath(output.csv, ancestor=2),
        models=FPA.about["models"],
        target=str(FPA.config.figures.target),
    message:
        "Table {wildcards.table} of {params.experiment}"
    shell:
        "python -m fpa table {wildcards.table} --results {params.results:q}"
        " --out {output.csv:q} --log {log:q}"


rule models_table:
    input:
        FPA.costs(),
    output:
        csv=report(
            FPA.in_results(artifacts.table("models")),
            caption="../report/models.rst",
            category="Tables",
            labels={"table": "models", "format": "CSV"},
        ),
        md=FPA.in_results(artifacts.table("models", "md")),
        tex=FPA.in_results(artifacts.table("models", "tex")),
    log:
        FPA.log("tables/models.log"),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=FPA.experiment.name,
        results=subpath(output.csv, ancestor=2),
        models=FPA.about["models"],
    message:
        "Table of the models of {params.experiment}"
    shell:
        "python -m fpa table models {input:q} --results {params.results:q}"
        " --out {output.csv:q} --log {log:q}"
