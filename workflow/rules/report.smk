# The page that people read, from every table and figure, and the file that all of it travels in.


rule report_page:
    input:
        tables=FPA.tables(),
        figures=FPA.figures(),
        played=FPA.played(),
        summaries=FPA.summaries(),
    output:
        FPA.in_results(artifacts.REPORT),
    log:
        FPA.log("report.log"),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        results=subpath(output[0], parent=True),
        about=FPA.about,
    message:
        "Writing {output}"
    shell:
        "python -m fpa report {params.results:q} --as-is --log {log:q}"


rule bundle:
    input:
        FPA.bundled(),
    output:
        FPA.in_results(artifacts.BUNDLE),
    log:
        FPA.log("bundle.log"),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        results=subpath(output[0], parent=True),
        about=FPA.about,
        weights="--weights" if FPA.config.bundle.weights else "",
    message:
        "Packing {output}"
    shell:
        "python -m fpa bundle {params.results:q} {params.weights} --out {output:q} --log {log:q}"
