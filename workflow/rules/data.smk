# Data sets, feature extractors, and the features of the real images: once each.


rule prepare:
    output:
        images=DATA + "/{store}/images.npy",
        manifest=DATA + "/{store}/manifest.json",
    log:
        LOGS + "/prepare/{store}.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        dataset=dataset_json,
        folder=subpath(output.images, parent=True),
    message:
        "Preparing {wildcards.store}"
    shell:
        "python -m fpa prepare {params.dataset:q} --out {params.folder:q} --log {log:q}"


rule extractor:
    output:
        DATA + "/extractors/{extractor}.json",
    log:
        LOGS + "/extractor/{extractor}.log",
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
        images=ancient(DATA + "/{store}/images.npy"),
        manifest=ancient(DATA + "/{store}/manifest.json"),
        extractor=ancient(DATA + "/extractors/{extractor}.json"),
    output:
        DATA + "/{store}/features-{extractor}.npz",
    log:
        LOGS + "/features/{store}-{extractor}.log",
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        folder=subpath(input.images, parent=True),
    message:
        "Features of the real images of {wildcards.store} in {wildcards.extractor}"
    shell:
        "python -m fpa features {params.folder:q} --extractor {input.extractor:q}"
        " --device {RUNTIME[device]} --out {output:q} --log {log:q}"
