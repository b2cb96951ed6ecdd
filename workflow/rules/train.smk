# One training for each run. Resumable state lies in <run>/state, which is no declared output:
# Snakemake removes those of an interrupted job.


def train_inputs(wildcards):
    """What a training needs: images, and, where the run asks for them, base and real features."""
    run = run_of(wildcards)
    inputs = store_files(wildcards)
    if run.training["watch_kimg"]:
        extractor = run.training["watch_extractor"]
        inputs["real"] = real_features(run.store, extractor)
        inputs["extractor"] = extractor_file(extractor)
    if run.base:
        inputs["base"] = f"{RESULTS}/{run.base.folder}/weights.safetensors"
    # What is there stays good: a run's folder names everything that it depends on, and the
    # training itself refuses images that changed.
    return {name: ancient(path) for name, path in inputs.items()}


def train_options(wildcards, input):
    """The same on the command line."""
    options = ["--store", str(Path(input.images).parent)]
    if "real" in input.keys():
        options += ["--real", input.real, "--extractor", input.extractor]
    if "base" in input.keys():
        options += ["--base", str(Path(input.base).parent)]
    return options


rule plan_run:
    output:
        RUN + "/run.json",
    log:
        LOGS + "/plan/{dataset}-{model}-{run}.log",
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
        run=ancient(RUN + "/run.json"),
    output:
        weights=RUN + "/weights.safetensors",
        history=RUN + "/history.csv",
        summary=RUN + "/train.json",
    log:
        LOGS + "/train/{dataset}-{model}-{run}.log",
    benchmark:
        LOGS + "/train/{dataset}-{model}-{run}.benchmark.tsv"
    threads: RUNTIME["train_threads"]
    resources:
        mem_mb=8000,
        runtime=4320,
    params:
        options=train_options,
    message:
        "Training {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa train {input.run:q} {params.options:q} --threads {threads}"
        " --log-every {RUNTIME[log_every]} --device {RUNTIME[device]} --log {log:q}"
