# Tables from score and cost files: one rule, of which each kind of table has its own inputs.


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
        files=lambda wildcards, input: [*input.scores, "--published", input.published],
    message:
        "Table {wildcards.table} of {params.experiment}"
    shell:
        "python -m fpa table {wildcards.table} {params.files:q} --results {params.results:q}"
        " --out {output.csv:q} --log {log:q}"


use rule scores_table as runs_table with:
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
    wildcard_constraints:
        table="|".join(table_names(FPA.experiment, "runs")),
    params:
        experiment=FPA.experiment.name,
        results=subpath(output.csv, ancestor=2),
        models=FPA.about["models"],
        target=str(FPA.config.figures.target),
        files=[],


use rule scores_table as models_table with:
    input:
        FPA.costs(),
    output:
        csv=report(
            FPA.in_results(artifacts.table("{table}")),
            caption="../report/models.rst",
            category="Tables",
            labels={"table": "{table}", "format": "CSV"},
        ),
        md=FPA.in_results(artifacts.table("{table}", "md")),
        tex=FPA.in_results(artifacts.table("{table}", "tex")),
    wildcard_constraints:
        table="models",
    params:
        experiment=FPA.experiment.name,
        results=subpath(output.csv, ancestor=2),
        models=FPA.about["models"],
        files=lambda wildcards, input: list(input),
    message:
        "Table of the models of {params.experiment}"
