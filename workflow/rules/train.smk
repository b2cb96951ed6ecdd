# One training for each run. Resumable state lies in <run>/state, which is no declared output:
# Snakemake removes those of an interrupted job.


localrules:
    plan_run,


rule plan_run:
    input:
        # No training begins before the extractor that its scores need is there.
        [ancient(extractor_file(p.extractor)) for p in PROTOCOLS.values()],
    output:
        f"{RUN}/run.json",
    log:
        f"{LOGS}/plan/{{dataset}}-{{model}}-{{run}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        run=run_json,
    message:
        "Planning {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa plan --run {params.run:q} --out {output:q} --log {log:q}"


rule train:
    input:
        unpack(train_inputs),
        run=ancient(f"{RUN}/run.json"),
    output:
        weights=f"{RUN}/weights.safetensors",
        history=f"{RUN}/history.csv",
        summary=f"{RUN}/train.json",
    log:
        f"{LOGS}/train/{{dataset}}-{{model}}-{{run}}.log",
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: RUNTIME["train_threads"] * RUNTIME["gpus"]
    resources:
        mem_mb=8000,
        runtime=4320,
        device=RUNTIME["device"],
        gpu=TRAIN_GPUS,
        processes=RUNTIME["gpus"],
        threads_each=RUNTIME["train_threads"],
        log_every=RUNTIME["log_every"],
    params:
        options=train_options,
    message:
        "Training {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    # exec: a shell would die of a scheduler's signal before the training has saved its state.
    shell:
        "exec python -m fpa train {input.run:q} {params.options:q} --threads {resources.threads_each} --gpus {resources.processes}"
        " --log-every {resources.log_every} --device {resources.device} --log {log:q}"
