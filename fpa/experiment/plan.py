"""From a configuration to the list of runs that it asks for."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError, did_you_mean, said_of
from fpa.core.files import digest, read_json
from fpa.core.provenance import STAGES
from fpa.core.registry import load_plugins, trust
from fpa.data.sources import DatasetSpec, content, resolve, store_name
from fpa.evaluation import protocols
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.protocols import Protocol
from fpa.experiment.config import Config, EvaluationSettings, TrainingSettings, check_config
from fpa.experiment.experiment import (
    FORMAT,
    Dataset,
    Experiment,
    ModelEntry,
    ProtocolEntry,
    RunEntry,
    about_models,
    read_claims,
)
from fpa.models.loading import changed_settings, find_model, part_versions, resolve_settings
from fpa.runs.folder import RunFolder, TrainingSummary
from fpa.runs.run import Budget, Json, Run, RunModel


class Plan:
    """A checked configuration and the runs that it asks for. Raises UserError for a bad one."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = check_config(config)
        load_plugins(self.config.plugins)
        trust(model.class_ for model in self.config.models.values() if model.class_)
        self.name = self.config.experiment
        self.results = Path(self.config.results or f"results/{self.name}")
        self.data = Path(self.config.data)
        self.datasets = {
            name: resolve(name, spec.model_dump(), self.data, f"datasets.{name}")
            for name, spec in self.config.datasets.items()
        }
        evaluation = self.config.evaluation
        self.protocols = {
            name: protocols.resolve(name, settings.model_dump(), f"evaluation.protocols.{name}")
            for name, settings in evaluation.protocols.items()
        }
        for metric in evaluation.metrics:
            METRICS.find(metric, "evaluation.metrics")
        stated = read_claims(self.config.claims) if self.config.claims else []
        self.claims = about_models(stated, self.config.models)
        if not self.by_features:
            raise UserError(
                f"evaluation.protocols: {', '.join(self.protocols)} alone cannot be; quick scores and "
                "nearest images need features, so add another protocol, such as quick"
            )
        self._finished: dict[str, TrainingSummary] = {}
        made_by = "python -m fpa import-official` or `python -m fpa train"
        for name, model in self.config.models.items():
            if model.run is not None:
                with said_of(f"models.{name}.run"):
                    self._finished[name] = RunFolder(Path(model.run)).read_summary(made_by)
        self.config = self._resolve_config()
        self.models, self.evaluation = self.config.models, self.config.evaluation
        self._settings = {name: self._resolve_model(name) for name in self.models}
        self.runs = [
            self._run(dataset, model, seed)
            for dataset in self.datasets
            for model in self.models
            for seed in self._seeds(model)
        ]
        check_owner(self.results, self.name)

    # Checks and what is left to be chosen -------------------------------------------------------

    def _resolve_config(self) -> Config:
        """The configuration with what follows from the rest of it in the place of null."""
        config = self.config
        training = self._resolve_training(config.training, "training")
        figures = config.figures
        strips = figures.strips
        if strips is None:
            strips = tuple(range(min(3, figures.paintings)))
        if beyond := [n for n in strips if n >= figures.paintings]:
            raise UserError(
                f"figures.strips: there is no painting {beyond[0]} (counted from 0) among the "
                f"{figures.paintings} that are saved; raise figures.paintings"
            )
        models = {}
        for name, model in config.models.items():
            changes: dict[str, object] = {}
            if name in self._finished:
                run = self._finished[name].run["model"]
                changes = {"class_": run["class"], "settings": run["settings"]}
            elif model.class_ is None:
                raise UserError(f"models.{name}: missing class")
            where = f"models.{name}.training"
            models[name] = model.model_copy(
                update={**changes, "training": self._resolve_training(model.training, where)}
            )
        return config.model_copy(
            update={
                "training": training,
                "models": models,
                "figures": figures.model_copy(update={"strips": strips}),
            }
        )

    def _resolve_training(self, training: TrainingSettings, where: str) -> TrainingSettings:
        """The protocol of a quick score must be one of the experiment's; the first by default."""
        name = training.watch_protocol or self.by_features[0].name
        if name not in self.protocols:
            known = did_you_mean(name, list(self.protocols))
            raise UserError(
                f"{where}.watch_protocol: there is no '{name}' among evaluation.protocols{known}"
            )
        if self.protocols[name].of_paths:
            raise UserError(
                f"{where}.watch_protocol: {name} measures paths between latents, and a quick score "
                "needs features; name another protocol"
            )
        return training.model_copy(update={"watch_protocol": name})

    def _has_best(self, name: str) -> bool:
        if name in self._finished:
            return self._finished[name].best is not None
        return bool(self.models[name].training.watch_kimg)

    def _resolve_model(self, name: str) -> Json:
        """A model's complete settings, after checks of its class and base."""
        model, where = self.models[name], f"models.{name}"
        found = find_model(self.class_of(name), f"{where}.class")
        best = self.evaluation.checkpoint == "best"
        if name in self._finished:
            if best and not self._has_best(name):
                raise UserError(
                    f"{where}.run: its training was not watched, so it has no best checkpoint; set "
                    "evaluation.checkpoint: last"
                )
            return resolve_settings(found, model.settings, f"{where}.settings")
        if found.needs_base and model.base is None:
            raise UserError(f"{where}: {model.class_} starts from another model; name it as 'base'")
        if not found.needs_base and model.base is not None:
            raise UserError(
                f"{where}.base: {model.class_} starts from no other model; leave it out"
            )
        self._check_bases(name)
        if best and not self._has_best(name):
            raise UserError(
                f"evaluation.checkpoint: best needs a quick score of every model; set "
                f"{where}.training.watch_kimg above 0, or checkpoint: last"
            )
        settings = resolve_settings(found, model.settings, f"{where}.settings")
        checkpoint = getattr(found.settings(**settings), "base_checkpoint", None)
        if model.base and checkpoint == "best" and not self._has_best(model.base):
            raise UserError(
                f"{where} starts from the best checkpoint of {model.base}, which needs a quick "
                f"score; set models.{model.base}.training.watch_kimg above 0, or start from "
                "the last one"
            )
        return settings

    def _check_bases(self, name: str) -> None:
        """UserError unless a model starts, in the end, from one that starts from none."""
        seen = [name]
        while (base := self.models[seen[-1]].base) is not None:
            if base not in self.models:
                known = did_you_mean(base, list(self.models))
                raise UserError(f"models.{seen[-1]}.base: there is no model '{base}'{known}")
            if base in seen:
                chain = " <- ".join([*seen, base])
                raise UserError(f"models.{name}.base: {chain} goes round in a circle")
            seen.append(base)

    # Runs ---------------------------------------------------------------------------------------

    def _seeds(self, name: str) -> tuple[int, ...]:
        """Those that a model is trained with; a finished run stands for all."""
        every, own = self.config.seeds, self.models[name].seeds
        if name in self._finished:
            return every[:1]
        if own is None:
            return every
        if unknown := [seed for seed in own if seed not in every]:
            raise UserError(
                f"models.{name}.seeds: {unknown[0]} is not among the experiment's seeds {list(every)}"
            )
        if every[0] not in own:
            raise UserError(
                f"models.{name}.seeds: {every[0]} is not among them, the experiment's first seed, whose "
                "runs the figures show; add it"
            )
        return tuple(seed for seed in every if seed in own)

    def _run(self, dataset: str, name: str, seed: int) -> Run:
        model = self.models[name]
        spec = self.datasets[dataset]
        if name in self._finished:
            return _as_ours(
                self._finished[name], name, spec, self.config.seeds[0], f"models.{name}.run"
            )
        base = self._run(dataset, model.base, seed) if model.base else None
        resolved = RunModel(name, self.class_of(name), self._settings[name])
        training = self._budget(model.training)
        digest = run_digest(spec, resolved, training, seed, base.digest if base else None)
        return Run(spec, resolved, training, seed, digest, base)

    def _budget(self, training: TrainingSettings) -> Budget:
        """What weights depend on in a model's training settings.

        A protocol stands there as the feature space that it names.
        """
        budget = Budget(training.kimg, training.batch_size, training.watch_kimg)
        if not training.watch_kimg:
            return budget
        assert training.watch_protocol, "resolved"
        space = str(self.protocols[training.watch_protocol].space)
        return replace(budget, watch_images=training.watch_images, watch_space=space)

    def all_runs(self) -> list[Run]:
        """The experiment's runs and the ones that they start from."""
        found: dict[str, Run] = {}
        for run in self.runs:
            part: Run | None = run
            while part is not None:
                found[part.folder] = part
                # What a finished run started from is no business of this experiment.
                part = None if part.is_finished else part.base
        return list(found.values())

    def write_runs(self) -> None:
        """Write the experiment's description and each run's resolved configuration."""
        self.claim()
        for run in self.all_runs():
            folder = RunFolder(self.results / run.folder)
            if not folder.run.exists():
                folder.write_run(run)

    # What it is -----------------------------------------------------------------------------

    def claim(self) -> None:
        """Mark the results folder as this experiment's, and describe there what belongs to it."""
        self.experiment.write(self.results)

    @property
    def experiment(self) -> Experiment:
        """All that figures and report need to know without the experiment's models."""
        return Experiment(
            format=FORMAT,
            experiment=self.name,
            config=self.config,
            samples=self.sampled.removeprefix("samples-").removesuffix(".npy"),
            shown_samples=self.shown_count,
            protocols=tuple(
                ProtocolEntry(
                    **protocol.model_dump(), score=self.score_file(name).removesuffix(".json")
                )
                for name, protocol in self.protocols.items()
            ),
            datasets=tuple(
                Dataset(name=name, store=store_name(spec)) for name, spec in self.datasets.items()
            ),
            models=tuple(
                ModelEntry(
                    name=name,
                    label=model.label or name,
                    paints=find_model(self.class_of(name), name).paints,
                )
                for name, model in self.models.items()
            ),
            runs=tuple(
                RunEntry(
                    dataset=run.dataset.name,
                    resolution=run.dataset.resolution,
                    model=run.model.name,
                    seed=run.seed,
                    folder=run.folder,
                    digest=run.digest,
                    kimg=run.training.kimg,
                    painter_steps=run.model.settings.get("painter", {}).get("steps"),
                )
                for run in self.runs
            ),
            claims=tuple(self.claims),
        )

    @property
    def by_features(self) -> list[Protocol]:
        """The protocols that compare samples with real images."""
        return [protocol for protocol in self.protocols.values() if not protocol.of_paths]

    @property
    def sample_count(self) -> int:
        """Samples of each run: a short sample is the beginning of a long one."""
        return max(protocol.n_fake for protocol in self.by_features)

    @property
    def shown_count(self) -> int:
        """Samples of a run that the figures show, and that are kept."""
        return min(self.config.figures.grid, self.sample_count)

    @property
    def sampled(self) -> str:
        """The file of the samples that are scored, in a run's folder."""
        evaluation = self.config.evaluation
        return artifacts.samples(evaluation.checkpoint, self.sample_count, evaluation.seed)

    def class_of(self, model: str) -> str:
        return self.models[model].class_ or ""

    def score_file(self, protocol: str) -> str:
        digest = score_digest(self.protocols[protocol], self.evaluation)
        return artifacts.score(protocol, digest)


def _as_ours(
    summary: TrainingSummary, name: str, dataset: DatasetSpec, seed: int, where: str
) -> Run:
    """A finished run as one of this experiment, on a data set of images like its own."""
    about = Run.from_json(summary.run, where)
    for key in ("resolution", "channels"):
        if (found := getattr(about.dataset, key)) != getattr(dataset, key):
            raise UserError(
                f"{where}: its images have {key} {found}, those of {dataset.name} "
                f"{getattr(dataset, key)}; score it on a data set that fits"
            )
    model = replace(about.model, name=name, finished=summary.digest)
    made = digest({"finished": summary.digest})
    return Run(dataset, model, about.training, seed, made, about.base)


def check_owner(results: Path, name: str) -> None:
    """A results folder belongs to one experiment, and to versions that name runs alike."""
    path = results / artifacts.EXPERIMENT
    if not path.exists():
        return
    about = read_json(path)
    if not isinstance(about, dict):
        raise UserError(
            f"{path} describes no experiment; move {results} away, or set another 'results'"
        )
    if about.get("experiment") != name:
        raise UserError(
            f"{results} belongs to the experiment '{about.get('experiment')}', not '{name}'; "
            "set another 'results' folder, or leave it out"
        )
    if about.get("format") != FORMAT:
        raise UserError(
            f"{results} holds results of version 0.1, which named its runs differently and whose "
            "weights this version does not read; move the folder away, or set another 'results'"
        )


# Digests -----------------------------------------------------------------------------------------
#
# A digest names files by what they depend on: settings that differ from their defaults, and the
# versions of the code that makes them. So a new setting whose default keeps the behaviour changes no
# digest, and changed behaviour, with its version raised, makes another run.


def run_digest(
    dataset: DatasetSpec, model: RunModel, training: Budget, seed: int, base: str | None
) -> str:
    """SHA-256 of what a run's weights depend on; `base`: the digest of the run it starts from."""
    declared = find_model(model.class_, "model")
    versions = {"class": declared.version, **part_versions(declared, model.settings)}
    return digest(
        {
            "stages": {stage: STAGES[stage] for stage in ("prepare", "train")},
            "dataset": content(dataset),
            "model": {
                "class": model.class_,
                "settings": changed_settings(declared, model.settings),
                "versions": {name: version for name, version in versions.items() if version != 1},
            },
            "training": _changed(training.as_json(), TrainingSettings().model_dump()),
            "seed": seed,
            "base": base,
        }
    )


def score_digest(protocol: Protocol, evaluation: EvaluationSettings) -> str:
    """SHA-256 of what a score depends on besides its run and data set."""
    return digest(
        {
            "stages": {stage: STAGES[stage] for stage in ("sample", "features", "score")},
            "protocol": protocol.model_dump(exclude_none=True),
            "evaluation": _changed(
                evaluation.model_dump(mode="json", exclude={"protocols"}),
                EvaluationSettings().model_dump(mode="json"),
            ),
        }
    )


def _changed(values: Json, standard: Json) -> Json:
    """Values that differ from their defaults; 1.0 and 1 are the same number."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in values.items()
        if value != standard.get(key)
    }
