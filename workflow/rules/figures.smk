# Artifacts that only figures need, and figures from artifacts: no model, no data set, no GPU.


rule paint:
    input:
        weights=f"{RUN}/weights.safetensors",
        summary=f"{RUN}/train.json",
    output:
        f"{RUN}/paintings-{CHECKPOINT}-{{number}}.npz",
    log:
        f"{LOGS}/paint/{{dataset}}-{{model}}-{{run}}-{{number}}.log",
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
        "python -m fpa paint {params.folder:q} --count {wildcards.number} --seed {params.seed}"
        " --checkpoint {params.checkpoint}"
        " --device cpu --out {output:q} --log {log:q}"


rule strokes:
    input:
        weights=f"{RUN}/weights.safetensors",
        summary=f"{RUN}/train.json",
    output:
        f"{RUN}/strokes-{CHECKPOINT}-{{number}}.npz",
    log:
        f"{LOGS}/strokes/{{dataset}}-{{model}}-{{run}}-{{number}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        folder=subpath(input.weights, parent=True),
        checkpoint=CHECKPOINT,
        seed=EVALUATION["seed"],
    message:
        "Step statistics of {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa strokes {params.folder:q} --count {wildcards.number} --seed {params.seed}"
        " --checkpoint {params.checkpoint}"
        " --threads {threads} --device cpu --out {output:q} --log {log:q}"


rule interpolate:
    input:
        weights=f"{RUN}/weights.safetensors",
        summary=f"{RUN}/train.json",
    output:
        f"{RUN}/interpolations-{CHECKPOINT}-{{number}}x{{frames}}.npy",
    log:
        f"{LOGS}/interpolate/{{dataset}}-{{model}}-{{run}}-{{number}}x{{frames}}.log",
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
        "Interpolating with {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa interpolate {params.folder:q} --count {wildcards.number}"
        " --frames {wildcards.frames} --seed {params.seed} --checkpoint {params.checkpoint} --threads {threads} --device cpu"
        " --out {output:q} --log {log:q}"


rule neighbours:
    input:
        unpack(ancient_store_files),
        unpack(neighbour_features),
        samples=f"{RUN}/samples-{SAMPLES}.npy",
    output:
        f"{RUN}/neighbours-{{number}}-{CHECKPOINT}-seed{EVALUATION['seed']}-{{space}}.npz",
    log:
        f"{LOGS}/neighbours/{{dataset}}-{{model}}-{{run}}-{{number}}-{{space}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        store=subpath(input.images, parent=True),
    message:
        "Nearest training images of {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa neighbours {input.samples:q} --fake {input.fake:q} --real {input.real:q}"
        " --store {params.store:q} --count {wildcards.number} --out {output:q} --log {log:q}"


rule excerpt:
    input:
        images=ancient(f"{DATA}/{{store}}/images.npy"),
        manifest=ancient(f"{DATA}/{{store}}/manifest.json"),
    output:
        f"{RESULTS}/real/{{store}}-{{number}}.npy",
    log:
        f"{LOGS}/excerpt/{{store}}-{{number}}.log",
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
        "python -m fpa excerpt {params.folder:q} --count {wildcards.number} --out {output:q} --log {log:q}"


rule figure:
    input:
        drawn_artifacts,
    output:
        png=report(
            f"{RESULTS}/figures/{{figure}}.png",
            caption="../report/figure.rst",
            category=figure_category,
            labels=figure_labels,
        ),
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
    log:
        f"{LOGS}/figures/{{figure}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        results=subpath(output.png, ancestor=2),
        spec=figure_json,
        caption=figure_caption,
    message:
        "Drawing {wildcards.figure}"
    shell:
        "python -m fpa figure {params.results:q} {wildcards.figure:q} --log {log:q}"


rule animation:
    input:
        drawn_artifacts,
    output:
        report(
            f"{RESULTS}/figures/{{figure}}.gif",
            caption="../report/figure.rst",
            category=figure_category,
            labels=figure_labels,
        ),
    log:
        f"{LOGS}/figures/{{figure}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        results=subpath(output[0], ancestor=2),
        spec=figure_json,
        caption=figure_caption,
    message:
        "Animating {wildcards.figure}"
    shell:
        "python -m fpa figure {params.results:q} {wildcards.figure:q} --log {log:q}"
