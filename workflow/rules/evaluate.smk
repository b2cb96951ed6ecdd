# From trained weights to samples, their features, and one score file a run; what a run costs.
# Samples and features go when the score is there: they can be made again from the weights, and
# the priorities finish one run before the next is begun.


rule sample:
    input:
        **FPA.finished_run,
    output:
        images=temp(FPA.samples),
        about=str(artifacts.describing(FPA.samples)),
    log:
        FPA.log("sample", f"{OF_RUN}.log"),
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME.device,
        gpu=FPA.gpus,
    params:
        folder=subpath(input.weights, parent=True),
        images=FPA.plan.sample_count,
        checkpoint=FPA.checkpoint,
        seed=FPA.seed,
        version=STAGES["sample"],
    message:
        "Sampling {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa sample {params.folder:q} --count {params.images} --seed {params.seed}"
        " --checkpoint {params.checkpoint}"
        " --threads {threads} --device {resources.device} --out {output.images:q} --log {log:q}"


use rule sample as shown with:
    output:
        images=FPA.shown,
        about=str(artifacts.describing(FPA.shown)),
    log:
        FPA.log("shown", f"{OF_RUN}.log"),
    params:
        folder=subpath(input.weights, parent=True),
        images=FPA.plan.shown_count,
        checkpoint=FPA.checkpoint,
        seed=FPA.seed,
        version=STAGES["sample"],
    message:
        "Sampling {wildcards.model} on {wildcards.dataset}, {wildcards.run}, for the figures"


# Where as many are scored as shown, they are the same file, and it stays.
ruleorder: shown > sample


rule features:
    input:
        images=FPA.samples,
        about=str(artifacts.describing(FPA.samples)),
        extractor=FPA.extractor,
    output:
        features=temp(FPA.features),
        about=str(artifacts.describing(FPA.features)),
    log:
        FPA.log("features", f"{OF_RUN}-n{{images}}-{{space}}.log"),
    cache: CACHE
    priority: 100
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME.device,
        gpu=FPA.gpus,
    params:
        images="{images}",  # the cache's key holds parameters, not wildcards
        space="{space}",
        version=STAGES["features"],
    message:
        "Features of {wildcards.model} on {wildcards.dataset}, {wildcards.run}, in {wildcards.space}"
    shell:
        "python -m fpa features {input.images:q} --count {params.images}"
        " --extractor {input.extractor:q} --space {params.space:q} --threads {threads}"
        " --device {resources.device} --out {output.features:q} --log {log:q}"


rule score:
    input:
        unpack(FPA.score_inputs),
        summary=FPA.in_run(artifacts.SUMMARY),
    output:
        FPA.in_run("{score}.json"),
    log:
        FPA.log("score", f"{OF_RUN}-{{score}}.log"),
    cache: CACHE
    priority: 200
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folder=subpath(input.summary, parent=True),
        options=FPA.score_options,
    message:
        "Scoring {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "OMP_NUM_THREADS={threads} python -m fpa score {params.folder:q} {params.options:q}"
        " --out {output:q} --log {log:q}"


# Paths between latents, instead of samples and their features.
rule path_length:
    input:
        **FPA.finished_run,
        extractor=FPA.path_network,
    output:
        FPA.in_run("{paths}.json"),
    log:
        FPA.log("score", f"{OF_RUN}-{{paths}}.log"),
    cache: CACHE
    priority: 200
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
        device=RUNTIME.device,
        gpu=FPA.gpus,
    params:
        folder=subpath(input.weights, parent=True),
        paths=lambda wildcards: FPA.protocol(wildcards.paths).n_fake,
        protocol=lambda wildcards: FPA.protocol(wildcards.paths).name,
        checkpoint=FPA.checkpoint,
        seed=FPA.seed,
        version=STAGES["score"],
    message:
        "Path length of {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa path-length {params.folder:q} --count {params.paths} --seed {params.seed}"
        " --checkpoint {params.checkpoint} --extractor {input.extractor:q} --protocol {params.protocol}"
        " --threads {threads} --device {resources.device} --out {output:q} --log {log:q}"


rule cost:
    input:
        run=ancient(FPA.in_run(artifacts.RUN)),
    output:
        FPA.in_run(artifacts.COST),
    log:
        FPA.log("cost", f"{OF_RUN}.log"),
    conda:
        "../envs/fpa.yaml"
    # By itself on this machine: whatever ran beside it would slow it down.
    threads: CALL.threads_of_all(otherwise=RUNTIME.train_threads)
    resources:
        mem_mb=8000,
        runtime=30,
        device=RUNTIME.device,
        threads_each=RUNTIME.train_threads,
        seconds=str(RUNTIME.cost_seconds),
        precision=FPA.precision,
        memory_format=FPA.memory_format,
        compile=RUNTIME.compile,
        gpu=FPA.gpus,
    message:
        "Measuring {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa cost {input.run:q} --seconds {resources.seconds} --threads {resources.threads_each} --device {resources.device}"
        " --precision {resources.precision:q} --memory-format {resources.memory_format} --compile {resources.compile}"
        " --out {output:q} --log {log:q}"
