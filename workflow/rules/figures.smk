# Artifacts that only figures need, and figures from artifacts: no model, no data set, no GPU.


rule run_artifact:
    input:
        **FPA.finished_run,
    output:
        FPA.in_run(
            artifacts.of_generator(
                "{artifact}", FPA.checkpoint, "{size}", FPA.seed, "{ending}"
            )
        ),
    log:
        FPA.log("run_artifact", f"{OF_RUN}-{{artifact}}-{{size}}.{{ending}}.log"),
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        folder=subpath(input.weights, parent=True),
        numbers=lambda wildcards: wildcards.size.strip("n").split("x"),
        checkpoint=FPA.checkpoint,
        seed=FPA.seed,
        version=STAGES["sample"],
    message:
        "{wildcards.artifact} of {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa artifact {wildcards.artifact} {params.folder:q} --count {params.numbers}"
        " --seed {params.seed} --checkpoint {params.checkpoint} --threads {threads} --device cpu"
        " --out {output:q} --log {log:q}"


rule neighbours:
    input:
        unpack(FPA.store),
        unpack(FPA.neighbour_features),
        samples=FPA.samples,
    output:
        FPA.in_run(
            artifacts.neighbours(FPA.checkpoint, "{number}", FPA.seed, "{space}")
        ),
    log:
        FPA.log("neighbours", f"{OF_RUN}-{{number}}-{{space}}.log"),
    priority: 200
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        # Where real images may not be shown, their distances are all that is saved. The setting is
        # here as well, because a parameter that follows from inputs makes nothing again.
        store=FPA.neighbour_store,
        real_images=FPA.config.figures.real_images,
    message:
        "Nearest training images of {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa neighbours {input.samples:q} --fake {input.fake:q} --real {input.real:q}"
        " {params.store:q} --count {wildcards.number} --out {output:q} --log {log:q}"


rule real_samples:
    input:
        images=ancient(FPA.in_data(artifacts.store_images("{store}"))),
        manifest=ancient(FPA.in_data(artifacts.store_manifest("{store}"))),
    output:
        FPA.in_results(artifacts.real_samples("{store}", "{number}")),
    log:
        FPA.log("real_samples/{store}-{number}.log"),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        folder=subpath(input.images, parent=True),
    message:
        "The first {wildcards.number} images of {wildcards.store}"
    shell:
        "python -m fpa real-samples {params.folder:q} --count {wildcards.number} --out {output:q} --log {log:q}"


rule figure:
    input:
        FPA.figure_inputs,
    output:
        png=report(
            FPA.in_results(artifacts.figure("{figure}")),
            caption="../report/figure.rst",
            category=lambda wildcards: FPA.drawn[wildcards.figure].category,
            labels=lambda wildcards: FPA.drawn[wildcards.figure].labels,
        ),
        pdf=FPA.in_results(artifacts.figure("{figure}", "pdf")),
    log:
        FPA.log("figures/{figure}.log"),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        results=subpath(output[0], ancestor=2),
        spec=FPA.figure_spec,
        caption=lambda wildcards: FPA.drawn[wildcards.figure].caption,
    message:
        "Drawing {wildcards.figure}"
    shell:
        "python -m fpa figure {params.results:q} {wildcards.figure:q} --log {log:q}"


use rule figure as animation with:
    output:
        report(
            FPA.in_results(artifacts.figure("{figure}", "gif")),
            caption="../report/figure.rst",
            category=lambda wildcards: FPA.drawn[wildcards.figure].category,
            labels=lambda wildcards: FPA.drawn[wildcards.figure].labels,
        ),
    message:
        "Animating {wildcards.figure}"
