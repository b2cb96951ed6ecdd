# One training for each run. Resumable state lies in <run>/state, which is no declared output:
# Snakemake removes those of an interrupted job.


rule plan_run:
    input:
        # No training begins before the extractor that its scores need is there.
        FPA.extractors,
    output:
        FPA.in_run(artifacts.RUN),
    log:
        FPA.log("plan", f"{OF_RUN}.log"),
    localrule: True
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        digest=lambda wildcards: FPA.run(wildcards).digest,
    message:
        "Planning {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    run:
        FPA.write_run(wildcards, output[0], log[0])


rule train:
    input:
        unpack(FPA.train_inputs),
        run=ancient(FPA.in_run(artifacts.RUN)),
    output:
        **FPA.finished_run,
        history=FPA.in_run(artifacts.HISTORY),
    log:
        FPA.in_results(artifacts.train_log("{dataset}", "{model}", "{run}")),
    cache: CACHE
    priority: FPA.train_priority
    conda:
        "../envs/fpa.yaml"
    threads: RUNTIME.train_threads * RUNTIME.gpus
    resources:
        mem_mb=8000,
        runtime=4320,
        device=RUNTIME.device,
        gpu=TRAIN_GPUS,
        processes=RUNTIME.gpus,
        threads_each=RUNTIME.train_threads,
        log_every=RUNTIME.log_every,
        # As text, because resources are whole numbers.
        checkpoint_kimg=lambda wildcards: str(
            FPA.plan.models[wildcards.model].training.checkpoint_kimg
        ),
        precision=FPA.precision,
        memory_format=FPA.memory_format,
        compile=RUNTIME.compile,
        loggers=",".join(RUNTIME.loggers) or "none",
    params:
        options=FPA.train_options,
    message:
        "Training {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    # exec: a shell would die of a scheduler's signal before the training has saved its state.
    shell:
        "exec python -m fpa train {input.run:q} {params.options:q} --threads {resources.threads_each} --gpus {resources.processes}"
        " --log-every {resources.log_every} --checkpoint-kimg {resources.checkpoint_kimg} --device {resources.device}"
        " --precision {resources.precision:q} --memory-format {resources.memory_format} --compile {resources.compile}"
        " --loggers {resources.loggers:q} --requeue --log {log:q}"
