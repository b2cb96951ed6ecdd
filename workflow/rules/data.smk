# Data sets, feature extractors, and the features of the real images: once each.


localrules:
    download,
    extractor,


rule download:
    output:
        f"{DATA}/archives/{{archive}}",
    log:
        f"{LOGS}/download/{{archive}}.log",
    retries: 3
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=1440,
    params:
        source=archive_source,
    message:
        "Fetching {wildcards.archive}"
    shell:
        "python -m fpa download {params.source:q} --out {output:q} --log {log:q}"


rule prepare:
    input:
        # Only what is fetched for it: whoever put an archive there may take it away again.
        ancient(archive_to_fetch),
    output:
        images=f"{DATA}/{{store}}/images.npy",
        manifest=f"{DATA}/{{store}}/manifest.json",
    log:
        f"{LOGS}/prepare/{{store}}.log",
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 16
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        dataset=dataset_json,
        folder=subpath(output.images, parent=True),
    message:
        "Preparing {wildcards.store}"
    shell:
        "python -m fpa prepare {params.dataset:q} --workers {threads} --out {params.folder:q} --log {log:q}"


rule extractor:
    output:
        f"{DATA}/extractors/{{extractor}}.json",
    log:
        f"{LOGS}/extractor/{{extractor}}.log",
    conda:
        "../envs/fpa.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        weights=extractor_weights,
    message:
        "Looking for the feature extractor {wildcards.extractor}"
    shell:
        "python -m fpa extractor {wildcards.extractor:q} {params.weights:q} --out {output:q} --log {log:q}"


rule real_features:
    input:
        images=ancient(f"{DATA}/{{store}}/images.npy"),
        manifest=ancient(f"{DATA}/{{store}}/manifest.json"),
        extractor=extractor_of,
    output:
        features=f"{DATA}/{{store}}/features.{{space}}.npy",
        about=f"{DATA}/{{store}}/features.{{space}}.json",
    log:
        f"{LOGS}/features/{{store}}-{{space}}.log",
    cache: CACHE
    conda:
        "../envs/fpa.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=240,
        device=RUNTIME["device"],
        gpu=GPUS,
    params:
        folder=subpath(input.images, parent=True),
        space="{space}",  # the cache's key holds parameters, not wildcards
    message:
        "Features of the real images of {wildcards.store} in {wildcards.space}"
    shell:
        "python -m fpa features {params.folder:q} --extractor {input.extractor:q}"
        " --space {params.space:q} --threads {threads} --device {resources.device}"
        " --out {output.features:q} --log {log:q}"
