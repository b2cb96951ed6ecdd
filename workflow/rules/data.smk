# Data sets, feature extractors, and the features of the real images: once each. Other working
# directories may share them: `update` leaves a file in its place until a new one is whole.


REAL_FEATURES = artifacts.real_features("{store}", "{space}")
REAL_RADII = artifacts.real_radii("{store}", "{space}", "{number}", FPA.seed)


rule download:
    output:
        update(FPA.in_data(artifacts.archive("{archive}"))),
    log:
        FPA.log("download/{archive}.log"),
    retries: 3
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=1440,
    params:
        source=FPA.archive_source,
    message:
        "Fetching {wildcards.archive}"
    shell:
        "python -m fpa download {params.source:q} --out {output:q} --log {log:q}"


rule prepare:
    input:
        # Only what is fetched for it.
        FPA.archive,
    output:
        images=update(FPA.in_data(artifacts.store_images("{store}"))),
        manifest=update(FPA.in_data(artifacts.store_manifest("{store}"))),
    log:
        FPA.log("prepare/{store}.log"),
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 16
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        dataset=lambda wildcards: FPA.stores[wildcards.store].as_words(),
        folder=subpath(output.images, parent=True),
    message:
        "Preparing {wildcards.store}"
    shell:
        "python -m fpa prepare {params.dataset:q} --no-config --workers {threads} --out {params.folder:q} --log {log:q}"


rule extractor:
    output:
        update(FPA.in_data(artifacts.extractor("{extractor}"))),
    log:
        FPA.log("extractor/{extractor}.log"),
    localrule: True
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        weights=FPA.extractor_options,
    message:
        "Looking for the feature extractor {wildcards.extractor}"
    shell:
        "python -m fpa extractor {wildcards.extractor:q} {params.weights:q} --out {output:q} --log {log:q}"


rule real_features:
    input:
        images=ancient(FPA.in_data(artifacts.store_images("{store}"))),
        manifest=ancient(FPA.in_data(artifacts.store_manifest("{store}"))),
        extractor=FPA.extractor,
    output:
        features=update(FPA.in_data(REAL_FEATURES)),
        about=update(str(artifacts.describing(FPA.in_data(REAL_FEATURES)))),
    log:
        FPA.log("features/{store}-{space}.log"),
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME.device,
        gpu=FPA.gpus,
    params:
        folder=subpath(input.images, parent=True),
        space="{space}",  # the cache's key holds parameters, not wildcards
        version=STAGES["features"],
    message:
        "Features of the real images of {wildcards.store} in {wildcards.space}"
    shell:
        "python -m fpa features {params.folder:q} --extractor {input.extractor:q}"
        " --space {params.space:q} --threads {threads} --device {resources.device}"
        " --out {output.features:q} --log {log:q}"


rule real_radii:
    input:
        features=ancient(FPA.in_data(REAL_FEATURES)),
        about=ancient(str(artifacts.describing(FPA.in_data(REAL_FEATURES)))),
    output:
        update(FPA.in_data(REAL_RADII)),
    log:
        FPA.log("radii/{store}-{space}-{number}.log"),
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        number="{number}",  # the cache's key holds parameters, not wildcards
        space="{space}",
        seed=FPA.seed,
        versions=[STAGES["features"], STAGES["score"]],
    message:
        "What the real images of {wildcards.store} cover in {wildcards.space}"
    shell:
        "OMP_NUM_THREADS={threads} python -m fpa radii {input.features:q} --most {params.number}"
        " --seed {params.seed} --out {output:q} --log {log:q}"
