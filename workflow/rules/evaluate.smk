# From trained weights to samples, their features, and one score file a run; what a run costs.


rule sample:
    input:
        weights=f"{RUN}/weights.safetensors",
        summary=f"{RUN}/train.json",
    output:
        f"{RUN}/samples-{SAMPLES}.npy",
    log:
        f"{LOGS}/sample/{{dataset}}-{{model}}-{{run}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME["device"],
    params:
        folder=subpath(input.weights, parent=True),
        images=EVALUATION["n_fake"],
        seed=EVALUATION["seed"],
    message:
        "Sampling {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa sample {params.folder:q} --count {params.images} --seed {params.seed}"
        " --threads {threads} --device {resources.device} --out {output:q} --log {log:q}"


rule features:
    input:
        images=f"{RUN}/samples-{SAMPLES}.npy",
        extractor=ancient(extractor_file(EVALUATION["extractor"])),
    output:
        f"{RUN}/features-{SAMPLES}-{EVALUATION['extractor']}.npz",
    log:
        f"{LOGS}/features/{{dataset}}-{{model}}-{{run}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME["device"],
    message:
        "Features of the samples of {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa features {input.images:q} --extractor {input.extractor:q}"
        " --threads {threads} --device {resources.device} --out {output:q} --log {log:q}"


rule score:
    input:
        summary=f"{RUN}/train.json",
        fake=f"{RUN}/features-{SAMPLES}-{EVALUATION['extractor']}.npz",
        real=ancient(evaluation_reference),
    output:
        f"{RUN}/score-{SCORE}.json",
    log:
        f"{LOGS}/score/{{dataset}}-{{model}}-{{run}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        folder=subpath(input.summary, parent=True),
        subsets=EVALUATION["kid_subsets"],
        subset_size=EVALUATION["kid_subset_size"],
        seed=EVALUATION["seed"],
    message:
        "Scoring {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa score {params.folder:q} --fake {input.fake:q} --real {input.real:q}"
        " --kid-subsets {params.subsets} --kid-subset-size {params.subset_size}"
        " --seed {params.seed} --out {output:q} --log {log:q}"


rule cost:
    input:
        run=ancient(f"{RUN}/run.json"),
    output:
        f"{RUN}/cost.json",
    log:
        f"{LOGS}/cost/{{dataset}}-{{model}}-{{run}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: RUNTIME["train_threads"]
    resources:
        mem_mb=8000,
        runtime=30,
        device=RUNTIME["device"],
    message:
        "Measuring {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa cost {input.run:q} --threads {threads} --device {resources.device}"
        " --out {output:q} --log {log:q}"
