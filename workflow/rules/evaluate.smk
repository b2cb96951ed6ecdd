# From trained weights to samples, their features, and one score file a run.


rule sample:
    input:
        weights=RUN + "/weights.safetensors",
        summary=RUN + "/train.json",
    output:
        RUN + f"/samples-{SAMPLES}.npy",
    log:
        LOGS + "/sample/{dataset}-{model}-{run}.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        folder=subpath(input.weights, parent=True),
        images=EVALUATION["n_fake"],
        seed=EVALUATION["seed"],
    message:
        "Sampling {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa sample {params.folder:q} --count {params.images} --seed {params.seed}"
        " --device {RUNTIME[device]} --out {output:q} --log {log:q}"


rule features:
    input:
        images=RUN + f"/samples-{SAMPLES}.npy",
        extractor=ancient(extractor_file(EVALUATION["extractor"])),
    output:
        RUN + f"/features-{SAMPLES}-{EVALUATION['extractor']}.npz",
    log:
        LOGS + "/features/{dataset}-{model}-{run}.log",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    message:
        "Features of the samples of {wildcards.model} on {wildcards.dataset}, {wildcards.run}"
    shell:
        "python -m fpa features {input.images:q} --extractor {input.extractor:q}"
        " --device {RUNTIME[device]} --out {output:q} --log {log:q}"


rule score:
    input:
        summary=RUN + "/train.json",
        fake=RUN + f"/features-{SAMPLES}-{EVALUATION['extractor']}.npz",
        real=ancient(evaluation_reference),
    output:
        RUN + f"/score-{SCORE}.json",
    log:
        LOGS + "/score/{dataset}-{model}-{run}.log",
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
