# From trained weights to samples, their features, and one score file a run; what a run costs.


rule sample:
    input:
        weights=f"{RUN}/weights.safetensors",
        summary=f"{RUN}/train.json",
    output:
        f"{RUN}/samples-{SAMPLES}.npy",
    log:
        f"{LOGS}/sample/{{dataset}}-{{model}}-{{run}}.log",
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME["device"],
        gpu=GPUS,
    params:
        folder=subpath(input.weights, parent=True),
        images=N_SAMPLES,
        checkpoint=CHECKPOINT,
        seed=EVALUATION["seed"],
    message:
        "Sampling {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa sample {params.folder:q} --count {params.images} --seed {params.seed}"
        " --checkpoint {params.checkpoint}"
        " --threads {threads} --device {resources.device} --out {output:q} --log {log:q}"


rule features:
    input:
        images=f"{RUN}/samples-{SAMPLES}.npy",
        extractor=extractor_of,
    output:
        features=f"{RUN}/features-{CHECKPOINT}-n{{images}}-seed{EVALUATION['seed']}.{{space}}.npy",
        about=f"{RUN}/features-{CHECKPOINT}-n{{images}}-seed{EVALUATION['seed']}.{{space}}.json",
    log:
        f"{LOGS}/features/{{dataset}}-{{model}}-{{run}}-n{{images}}-{{space}}.log",
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME["device"],
        gpu=GPUS,
    params:
        images="{images}",  # the cache's key holds parameters, not wildcards
        space="{space}",
    message:
        "Features of {wildcards.model} on {wildcards.dataset}, {wildcards.run}, in {wildcards.space}"
    shell:
        "python -m fpa features {input.images:q} --count {params.images}"
        " --extractor {input.extractor:q} --space {params.space:q} --threads {threads}"
        " --device {resources.device} --out {output.features:q} --log {log:q}"


rule score:
    input:
        unpack(score_inputs),
        summary=f"{RUN}/train.json",
    output:
        f"{RUN}/{{score}}.json",
    log:
        f"{LOGS}/score/{{dataset}}-{{model}}-{{run}}-{{score}}.log",
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folder=subpath(input.summary, parent=True),
        options=score_options,
    message:
        "Scoring {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "OMP_NUM_THREADS={threads} python -m fpa score {params.folder:q} {params.options:q}"
        " --out {output:q} --log {log:q}"


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
        gpu=GPUS,
    message:
        "Measuring {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa cost {input.run:q} --threads {threads} --device {resources.device}"
        " --out {output:q} --log {log:q}"
