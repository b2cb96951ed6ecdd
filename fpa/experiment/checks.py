"""Everything that would fail after hours and can be known before anything starts."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.common import artifacts
from fpa.common.errors import UserError
from fpa.data.sources import SOURCES, downloadable, instructions, store_name
from fpa.evaluation.extractors import find_extractor
from fpa.experiment.plan import Experiment
from fpa.experiment.ranking import check_ranking
from fpa.models.loading import check_processes, check_settings
from fpa.training.run import Run


def check_before_start(experiment: Experiment) -> None:
    """UserError for missing files, sizes that do not fit, and folders that cannot be written."""
    _check_files(experiment)
    for run in {(r.dataset["name"], r.model["name"]): r for r in experiment.runs}.values():
        _check_run(experiment, run)
    for key, folder in (("results", experiment.results), ("data", experiment.data)):
        existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        try:
            # Permissions alone do not tell: a file system may be full or read-only.
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise UserError(
                f"{key}: cannot make {folder}: {existing}: {error.strerror}; choose another folder"
            ) from error


def _check_files(experiment: Experiment) -> None:
    missing = [
        instructions(spec) for spec in experiment.datasets.values() if _is_missing(experiment, spec)
    ]
    folder = experiment.config["inception_weights"]
    if folder:
        missing += [
            f"inception_weights: there is no {name} in the folder {folder}; put it there, or "
            "leave the key out to have it downloaded"
            for name in _missing_weights(experiment)
        ]
    if missing:
        fetched = [f"{name}: not here, will be fetched" for name in to_fetch(experiment)]
        raise UserError("\n".join([*missing, *fetched]))


def _check_run(experiment: Experiment, run: Run) -> None:
    model, dataset = run.model, run.dataset
    count, batch_size = dataset["count"], run.training["batch_size"]
    if count is not None and batch_size > count:
        raise UserError(
            f"models.{model['name']}.training.batch_size: {batch_size} is larger than the data "
            f"set {dataset['name']} ({count:,} images)"
        )
    check_processes(model["class"], batch_size, experiment.config["runtime"]["gpus"])
    check_ranking(run, experiment.protocols.values())
    for protocol in experiment.protocols.values():
        if count is not None and (protocol.n_real or 0) > count:
            raise UserError(
                f"evaluation.protocols.{protocol.name}.n_real: {protocol.n_real:,} is more "
                f"than the data set {dataset['name']} has ({count:,} images)"
            )
    base = run.base.model["settings"] if run.base else None
    size = dataset["resolution"]
    try:
        check_settings(model["class"], model["settings"], size, dataset["channels"], base)
    except UserError as error:
        raise UserError(f"model {model['name']} on {dataset['name']}: {error}") from error


def check_shareable(experiment: Experiment) -> None:
    """UserError for images of a user's own under a path that may mean others in another clone."""
    for name, spec in experiment.datasets.items():
        if spec["source"] == "folder" and not Path(spec["path"]).expanduser().is_absolute():
            raise UserError(
                f"datasets.{name}.path: {spec['path']} may be other images in another clone; "
                "give an absolute path to share work with --cache"
            )


def to_fetch(experiment: Experiment) -> list[str]:
    """Archives and weights that are not here, and are downloaded when the work starts."""
    sources = {
        spec["path"]: SOURCES[spec["source"]]
        for spec in experiment.datasets.values()
        if spec["path"] is not None
        and downloadable(spec, experiment.data)
        and not _is_prepared(experiment, spec)
        and not Path(spec["path"]).exists()
    }
    archives = [f"{source.archive} ({source.size})" for source in sources.values()]
    if experiment.config["inception_weights"]:
        return archives
    return archives + _missing_weights(experiment)


def _missing_weights(experiment: Experiment) -> list[str]:
    """Weights of the experiment's extractors that are nowhere to be found."""
    names = {protocol.extractor for protocol in experiment.protocols.values()}
    configured = experiment.config["inception_weights"]
    missing: dict[str, None] = {}
    for name in sorted(names):
        path = experiment.data / artifacts.extractor(name)
        if not path.exists():
            network, _ = find_extractor(name, "extractor")
            missing |= dict.fromkeys(network.missing_files(configured, path.parent))
    return list(missing)


def _is_prepared(experiment: Experiment, dataset: Mapping[str, Any]) -> bool:
    return (experiment.data / artifacts.store_manifest(store_name(dataset))).exists()


def _is_missing(experiment: Experiment, dataset: Mapping[str, Any]) -> bool:
    """Whether a data set is not prepared, and cannot be from what is here or can be fetched."""
    if dataset["path"] is None or downloadable(dataset, experiment.data):
        return False
    here = Path(dataset["path"]).expanduser().exists()
    return not _is_prepared(experiment, dataset) and not here
