# Figures from saved arrays, PNG and PDF. Pictures show the experiment's first seed.


rule paint:
    input:
        weights=f"{RUN}/weights.safetensors",
        summary=f"{RUN}/train.json",
    output:
        f"{RUN}/paintings-{CHECKPOINT}-{{paintings}}.npz",
    log:
        f"{LOGS}/paint/{{dataset}}-{{model}}-{{run}}-{{paintings}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        folder=subpath(input.weights, parent=True),
        checkpoint=CHECKPOINT,
        seed=EVALUATION["seed"],
    message:
        "Painting with {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa paint {params.folder:q} --count {wildcards.paintings} --seed {params.seed}"
        " --checkpoint {params.checkpoint}"
        " --device cpu --out {output:q} --log {log:q}"


rule painting_figure:
    input:
        paintings_of,
    output:
        png=report(
            f"{RESULTS}/figures/painting-{{dataset}}-{{model}}.png",
            caption="../report/painting.rst",
            category="Paintings",
            labels={"data set": "{dataset}", "model": "{model}"},
        ),
        pdf=f"{RESULTS}/figures/painting-{{dataset}}-{{model}}.pdf",
    log:
        f"{LOGS}/figures/painting-{{dataset}}-{{model}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        images=PICTURES["paintings"],
        steps=PICTURES["strip_steps"],
    message:
        "Drawing paintings of {wildcards.model} on {wildcards.dataset}"
    shell:
        "python -m fpa figure painting {input:q} --count {params.images} --steps {params.steps}"
        " --out {output.png:q} --log {log:q}"


rule refined_figure:
    input:
        paintings_of,
    output:
        png=report(
            f"{RESULTS}/figures/refined-{{dataset}}-{{model}}.png",
            caption="../report/refined.rst",
            category="Paintings",
            labels={"data set": "{dataset}", "model": "{model}"},
        ),
        pdf=f"{RESULTS}/figures/refined-{{dataset}}-{{model}}.pdf",
    log:
        f"{LOGS}/figures/refined-{{dataset}}-{{model}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        images=PICTURES["paintings"],
    message:
        "Drawing {wildcards.dataset} before and after {wildcards.model}"
    shell:
        "python -m fpa figure before-after {input:q} --count {params.images}"
        " --out {output.png:q} --log {log:q}"


rule samples_figure:
    input:
        grids_of,
    output:
        png=report(
            f"{RESULTS}/figures/samples-{{dataset}}.png",
            caption="../report/samples.rst",
            category="Samples",
            labels={"data set": "{dataset}"},
        ),
        pdf=f"{RESULTS}/figures/samples-{{dataset}}.pdf",
    log:
        f"{LOGS}/figures/samples-{{dataset}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        titles=["real", *(EXPERIMENT.label(model) for model in EXPERIMENT.models)],
        images=PICTURES["grid"],
    message:
        "Drawing samples on {wildcards.dataset}"
    shell:
        "python -m fpa figure samples {input:q} --titles {params.titles:q} --count {params.images}"
        " --out {output.png:q} --log {log:q}"


rule curves_figure:
    input:
        histories_of,
    output:
        png=report(
            f"{RESULTS}/figures/curves-{{dataset}}.png",
            caption="../report/curves.rst",
            category="Training",
            labels={"data set": "{dataset}"},
        ),
        pdf=f"{RESULTS}/figures/curves-{{dataset}}.pdf",
    log:
        f"{LOGS}/figures/curves-{{dataset}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        labels=LABELS,
        extractor=CONFIG["training"]["watch_extractor"],
    message:
        "Drawing training curves on {wildcards.dataset}"
    shell:
        "python -m fpa figure curves {input:q} --labels {params.labels:q}"
        " --extractor {params.extractor:q} --out {output.png:q} --log {log:q}"
