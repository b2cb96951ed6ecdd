# Figures from saved arrays, PNG and PDF. Pictures show the experiment's first seed.

FIRST_SEED = CONFIG["seeds"][:1]
PICTURES = CONFIG["figures"]
PAINTERS = EXPERIMENT.painters()
REFINERS = [name for name in PAINTERS if CONFIG["models"][name]["base"]]
FIGURES = [
    f"{RESULTS}/figures/{name}.{kind}"
    for dataset in EXPERIMENT.datasets
    for name in [
        f"samples-{dataset}",
        f"curves-{dataset}",
        *(f"painting-{dataset}-{model}" for model in PAINTERS),
        *(f"refined-{dataset}-{model}" for model in REFINERS),
    ]
    for kind in ("png", "pdf")
]


def paintings_of(wildcards):
    """The saved strokes of a model's first seed."""
    (folder,) = runs_of(wildcards.dataset, [wildcards.model], FIRST_SEED)
    return f"{folder}/paintings-{PICTURES['paintings']}.npz"


def grids_of(wildcards):
    """Real images, then each model's samples."""
    store = store_name(EXPERIMENT.datasets[wildcards.dataset])
    runs = runs_of(wildcards.dataset, seeds=FIRST_SEED)
    return [
        f"{DATA}/{store}/images.npy",
        *(f"{run}/samples-{SAMPLES}.npy" for run in runs),
    ]


def histories_of(wildcards):
    """The training histories of every run on a data set."""
    return [f"{run}/history.csv" for run in runs_of(wildcards.dataset)]


rule paint:
    input:
        weights=RUN + "/weights.safetensors",
        summary=RUN + "/train.json",
    output:
        RUN + "/paintings-{count}.npz",
    log:
        LOGS + "/paint/{dataset}-{model}-{run}-{count}.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        folder=subpath(input.weights, parent=True),
        seed=EVALUATION["seed"],
    message:
        "Painting with {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa paint {params.folder:q} --count {wildcards.count} --seed {params.seed}"
        " --device cpu --out {output:q} --log {log:q}"


rule painting_figure:
    input:
        paintings_of,
    output:
        png=report(
            RESULTS + "/figures/painting-{dataset}-{model}.png",
            caption="../report/painting.rst",
            category="Paintings",
            labels={"data set": "{dataset}", "model": "{model}"},
        ),
        pdf=RESULTS + "/figures/painting-{dataset}-{model}.pdf",
    log:
        LOGS + "/figures/painting-{dataset}-{model}.log",
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
            RESULTS + "/figures/refined-{dataset}-{model}.png",
            caption="../report/refined.rst",
            category="Paintings",
            labels={"data set": "{dataset}", "model": "{model}"},
        ),
        pdf=RESULTS + "/figures/refined-{dataset}-{model}.pdf",
    log:
        LOGS + "/figures/refined-{dataset}-{model}.log",
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
            RESULTS + "/figures/samples-{dataset}.png",
            caption="../report/samples.rst",
            category="Samples",
            labels={"data set": "{dataset}"},
        ),
        pdf=RESULTS + "/figures/samples-{dataset}.pdf",
    log:
        LOGS + "/figures/samples-{dataset}.log",
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
            RESULTS + "/figures/curves-{dataset}.png",
            caption="../report/curves.rst",
            category="Training",
            labels={"data set": "{dataset}"},
        ),
        pdf=RESULTS + "/figures/curves-{dataset}.pdf",
    log:
        LOGS + "/figures/curves-{dataset}.log",
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
