"""Everything that would fail after hours and can be known before anything starts."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from fpa.core import artifacts
from fpa.core.errors import UserError, said_of
from fpa.data.source_validation import check_source
from fpa.data.sources import SOURCES, DatasetSpec, downloadable, instructions, store_name
from fpa.data.store import read_manifest
from fpa.evaluation.extractors import EXTRACTORS, find_extractor
from fpa.evaluation.metrics import METRICS, Conditions, why_not
from fpa.evaluation.precision_recall import NEIGHBOURS
from fpa.evaluation.protocols import Protocol
from fpa.experiment.plan import Plan
from fpa.models.loading import check_processes, check_settings, find_model
from fpa.reporting.figures import figures
from fpa.reporting.tables.scores import read_published
from fpa.runs.folder import RunFolder
from fpa.runs.run import Run
from fpa.training.loggers import LOGGERS


def check_before_start(plan: Plan) -> None:
    """UserError for missing files and packages, sizes that do not fit, and folders that cannot be written.

    And for what would be computed, but show nothing: scores without an error, tables of two models
    under one name.
    """
    _check_labels(plan)
    figures(plan.experiment)  # whose names are all different
    for protocol in plan.by_features:
        _check_samples(plan, protocol)
    _check_metrics(plan)
    for name in plan.config.runtime.loggers:
        LOGGERS.find(name, "runtime.loggers").check("runtime.loggers")
    _check_files(plan)
    _check_images(plan)
    for run in {(r.dataset.name, r.model.name): r for r in plan.runs}.values():
        _check_run(plan, run)
    for key, folder in (("results", plan.results), ("data", plan.data)):
        existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        try:
            # Permissions alone do not tell: a file system may be full or read-only.
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise UserError(
                f"{key}: cannot make {folder}: {existing}: {error.strerror}; choose another folder"
            ) from error


def _check_labels(plan: Plan) -> None:
    """Rows, curves and legends know a model by its label."""
    owners: dict[str, str] = {}
    for model, label in plan.experiment.labels.items():
        if (other := owners.setdefault(label, model)) != model:
            raise UserError(
                f"models.{model}.label: '{label}' is what models.{other} is called too; "
                "give each model a label of its own"
            )


def _check_metrics(plan: Plan) -> None:
    """UserError when a protocol can measure nothing, or a metric that is named is measured by none."""
    evaluation = plan.evaluation
    if not evaluation.cross_check and all(
        METRICS[name].needs_cross_check for name in evaluation.metrics
    ):
        raise UserError(
            f"evaluation.metrics: {', '.join(evaluation.metrics)} cannot be computed without the "
            "cross-check; set evaluation.cross_check: true, or add another metric"
        )
    reasons = _not_measured(plan)
    for name, protocol in plan.protocols.items():
        # A path length is measured whether it is named or not.
        if not protocol.of_paths and reasons[name].keys() == set(evaluation.metrics):
            raise UserError(
                f"evaluation.metrics: protocol {name} can measure nothing of them: "
                f"{_said(reasons[name])}; name another metric, or change the protocol"
            )
    if "metrics" not in evaluation.model_fields_set:
        return  # the default names what is measured where it can be
    for metric in evaluation.metrics:
        if all(metric in by for by in reasons.values()):
            named = ", ".join(f"{by[metric]} (protocol {name})" for name, by in reasons.items())
            raise UserError(
                f"evaluation.metrics: {metric} can be measured by no protocol: it {named}; leave it "
                "out, or change evaluation.protocols"
            )


def _not_measured(plan: Plan) -> dict[str, dict[str, str]]:
    """By protocol: the metrics that it cannot measure, and why."""
    evaluation = plan.evaluation
    known_count = min(_image_counts(plan), default=None)
    found: dict[str, dict[str, str]] = {}
    for name, protocol in plan.protocols.items():
        known = Conditions.of(protocol, evaluation.groups, evaluation.cross_check, known_count)
        reasons = {metric: why_not(metric, known) for metric in evaluation.metrics}
        found[name] = {metric: reason for metric, reason in reasons.items() if reason}
    return found


def not_measured(plan: Plan) -> list[str]:
    """Metrics that a protocol leaves out, with the reason: a line for each protocol by features."""
    reasons = _not_measured(plan)
    of_images = {
        protocol.name: {
            n: why for n, why in reasons[protocol.name].items() if METRICS[n].of_features
        }
        for protocol in plan.by_features
    }
    return [f"protocol {name} leaves out {_said(why)}" for name, why in of_images.items() if why]


def _said(reasons: dict[str, str]) -> str:
    return "; ".join(f"{name} ({reason})" for name, reason in reasons.items())


def _image_counts(plan: Plan) -> list[int]:
    """Of the data sets whose number of images is known."""
    return [count for spec in plan.datasets.values() if (count := image_count(plan, spec))]


def image_count(plan: Plan, spec: DatasetSpec) -> int:
    """Images of a data set: those expected, or those prepared, or none that are known of."""
    name = store_name(spec)
    if spec.count is None and (plan.data / artifacts.store_manifest(name)).exists():
        return read_manifest(plan.data / name).count
    return spec.count or 0


def _check_samples(plan: Plan, protocol: Protocol) -> None:
    evaluation, n = plan.evaluation, protocol.n_fake
    measured, groups = set(evaluation.metrics), evaluation.groups
    where = f"evaluation.protocols.{protocol.name}"
    if any(METRICS[name].uses_sampling_groups for name in measured) and n < 2 * groups:
        raise UserError(
            f"{where}.n_fake: {n} samples cannot be split into {groups} groups of 2 or more, which "
            f"sampling errors need; raise it to {2 * groups}, or lower evaluation.groups"
        )
    size = evaluation.kid_subset_size
    if "kid" in measured and size > min(n, protocol.n_real or n):
        raise UserError(
            f"evaluation.kid_subset_size: subsets of {size:,} images cannot be drawn from the "
            f"{min(n, protocol.n_real or n):,} of {where}; lower it, or have more images"
        )
    covering = [name for name in evaluation.metrics if METRICS[name].uses_real_radii]
    covered = min([protocol.most_covered, *_image_counts(plan)])
    if covering and covered <= NEIGHBOURS:
        raise UserError(
            f"{where}: {NEIGHBOURS + 1} images on either side are needed for "
            f"{' and '.join(covering)}, found {covered}; raise n_fake and n_real, have more images, "
            "or change evaluation.metrics"
        )


def _check_files(plan: Plan) -> None:
    missing = [
        instructions(spec.name, spec.source, spec.path)
        for spec in _absent(plan)
        if not downloadable(spec, plan.data)
    ]
    folder = plan.config.inception_weights
    if folder:
        missing += [
            f"inception_weights: there is no {name} in the folder {folder}; put it there, or "
            "leave the key out to have it downloaded"
            for name in _missing_weights(plan)
        ]
    published = plan.config.published
    if published and not Path(published).is_file():
        missing.append(f"published: there is no file {published}; name a CSV, or leave the key out")
    elif published:
        with said_of("published"):
            read_published(published)
    if missing:
        fetched = [f"{name}: not here, will be fetched" for name in to_fetch(plan)]
        raise UserError("\n".join([*missing, *fetched]))


def _check_images(plan: Plan) -> None:
    """Prepared images are those of their source, and those that finished runs were trained on."""
    for name, spec in plan.datasets.items():
        folder = plan.data / store_name(spec)
        if not check_source(spec, folder):
            continue
        images = read_manifest(folder).images_sha256
        others = [
            run
            for run in plan.all_runs()
            if run.store == folder.name
            and (summary := RunFolder(plan.results / run.folder).summary_of(run))
            and summary.images_sha256 != images
        ]
        if others:
            raise UserError(
                f"{len(others)} finished runs on {name} were trained on other images than {folder} "
                f"holds, the first is {plan.results / others[0].folder}; delete or move these "
                f"runs, or delete {folder} and prepare their images again"
            )


def _check_run(plan: Plan, run: Run) -> None:
    model, dataset, gpus = run.model, run.dataset, plan.config.runtime.gpus
    count, batch_size = image_count(plan, dataset), run.training.batch_size
    if count and not run.is_finished and batch_size > count:
        raise UserError(
            f"models.{model.name}.training.batch_size: {batch_size} is larger than the data "
            f"set {dataset.name} ({count:,} images)"
        )
    if count == 1:
        raise UserError(
            f"datasets.{dataset.name}: a single image, where every distance needs two on either "
            "side; have more images"
        )
    if count and run.training.watch_kimg and not run.is_finished and count <= NEIGHBOURS:
        raise UserError(
            f"models.{model.name}.training.watch_kimg: a quick score needs {NEIGHBOURS + 1} real "
            f"images, and the data set {dataset.name} has {count}; have more, or set it to 0"
        )
    steps = model.settings.get("painter", {}).get("steps")
    chosen = plan.config.figures.strip_steps
    if steps and isinstance(chosen, tuple) and min(chosen) > steps:
        raise UserError(
            f"figures.strip_steps: none of {list(chosen)} is among the {steps} steps of "
            f"models.{model.name}; name steps from 1 to {steps}"
        )
    passes = model.settings.get("recipe", {}).get("accumulation") or 1
    share = batch_size // gpus
    if not run.is_finished and share % passes:
        raise UserError(
            f"models.{model.name}.settings.recipe.accumulation: {share} images (a batch on each "
            f"GPU) cannot be shared evenly between {passes} passes; change it, or training.batch_size"
        )
    check_processes(model.class_, batch_size, gpus)
    check_ranking(run, plan.protocols.values())
    for protocol in plan.protocols.values():
        if count and (protocol.n_real or 0) > count:
            raise UserError(
                f"evaluation.protocols.{protocol.name}.n_real: {protocol.n_real:,} is more "
                f"than the data set {dataset.name} has ({count:,} images)"
            )
    base = run.base.model.settings if run.base else None
    size = dataset.resolution
    with said_of(f"model {model.name} on {dataset.name}"):
        check_settings(model.class_, model.settings, size, dataset.channels, base)


def check_ranking(run: Run, protocols: Iterable[Protocol]) -> None:
    """UserError where a run, or one that it starts from, trains with a protocol's network.

    Such a model is good at what the score looks at, whatever people see.
    """
    part: Run | None = run
    while part is not None:
        name = part.model.name
        for network in find_model(part.model.class_, f"models.{name}.class").trains_with:
            EXTRACTORS.find(network, f"{part.model.class_}: trains_with")
            for protocol in protocols:
                scored, _ = find_extractor(protocol.extractor, protocol.name)
                if network in (scored.name, scored.built_on):
                    raise UserError(
                        f"models.{run.model.name}: {part.model.class_} trains with {network}, so "
                        f"protocol {protocol.name}, which scores by it, cannot rank it; "
                        "choose protocols with other networks"
                    )
        part = part.base


def check_shareable(plan: Plan) -> None:
    """UserError for images of a user's own under a path that may mean others in another clone."""
    for name, spec in plan.datasets.items():
        if spec.source == "folder" and spec.path and not Path(spec.path).expanduser().is_absolute():
            raise UserError(
                f"datasets.{name}.path: {spec.path} may be other images in another clone; "
                "give an absolute path to share work with --cache"
            )


def to_fetch(plan: Plan) -> list[str]:
    """Archives and weights that are not here, and are downloaded when the work starts."""
    sources = {
        spec.path: SOURCES[spec.source] for spec in _absent(plan) if downloadable(spec, plan.data)
    }
    archives = [f"{source.archive} ({source.size})" for source in sources.values()]
    if plan.config.inception_weights:
        return archives
    return archives + _missing_weights(plan)


def _missing_weights(plan: Plan) -> list[str]:
    names = {protocol.extractor for protocol in plan.protocols.values()}
    configured = plan.config.inception_weights
    missing: dict[str, None] = {}
    for name in sorted(names):
        path = plan.data / artifacts.extractor(name)
        if not path.exists():
            network, _ = find_extractor(name, "extractor")
            missing |= dict.fromkeys(network.missing_files(configured, path.parent))
    return list(missing)


def _absent(plan: Plan) -> list[DatasetSpec]:
    """Data sets that are not prepared, and whose images are not here."""
    return [
        spec
        for spec in plan.datasets.values()
        if spec.path is not None
        and not (plan.data / artifacts.store_manifest(store_name(spec))).exists()
        and not Path(spec.path).expanduser().exists()
    ]
