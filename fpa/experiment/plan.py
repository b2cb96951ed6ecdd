"""From a configuration to the list of runs that it asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError, did_you_mean
from fpa.core.files import read_json, write_json
from fpa.core.registry import load_plugins
from fpa.core.trust import trust
from fpa.data.sources import resolve, store_name
from fpa.evaluation import protocols
from fpa.evaluation.metrics import METRICS
from fpa.experiment import given as finished
from fpa.experiment.claims import about_models, read_claims
from fpa.experiment.config import check_config
from fpa.experiment.digests import WITHOUT_EFFECT, run_digest, score_digest
from fpa.models.loading import find_model, resolve_settings
from fpa.runs.run import Budget, Run, RunModel

UNDESCRIBED = ("runtime", "bundle", "claims")
"""Sections that change nothing that is made, or are described otherwise."""
FORMAT = 2
"""Of the description. What version 0.1 wrote has none, and its digests were others."""


class Experiment:
    """A checked configuration and the runs that it asks for. Raises UserError for a bad one."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = check_config(config)
        load_plugins(self.config["plugins"])
        trust(model["class"] for model in self.config["models"].values())
        self.name: str = self.config["experiment"]
        self.results = Path(self.config["results"] or f"results/{self.name}")
        self.data = Path(self.config["data"])
        self.models: dict[str, Any] = self.config["models"]
        self.evaluation: dict[str, Any] = self.config["evaluation"]
        self.datasets = {
            name: resolve(name, spec, self.data, f"datasets.{name}")
            for name, spec in self.config["datasets"].items()
        }
        self.protocols = {
            name: protocols.resolve(name, settings, f"evaluation.protocols.{name}")
            for name, settings in self.evaluation["protocols"].items()
        }
        for metric in self.evaluation["metrics"]:
            METRICS.get(metric, "evaluation.metrics")
        stated = read_claims(self.config["claims"]) if self.config["claims"] else []
        self.claims = about_models(stated, self.models)
        if not self.by_features:
            raise UserError(
                f"evaluation.protocols: {', '.join(self.protocols)} alone cannot be; quick scores and "
                "nearest images need features, so add another protocol, such as quick"
            )
        self._check_protocol(self.config["training"], "training")
        self._check_figures()
        self._finished = self._find_finished(config["models"])
        self._settings = {name: self._resolve(name) for name in self.models}
        self.runs = [
            self._run(dataset, model, seed)
            for dataset in self.datasets
            for model in self.models
            for seed in self.config["seeds"][: 1 if model in self._finished else None]
        ]
        check_owner(self.results, self.name)

    def _find_finished(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What finished runs in the place of a training say of themselves, by model."""
        found = {}
        for name, model in self.models.items():
            where = f"models.{name}"
            if model["run"] is not None:
                found[name] = finished.find(model, given[name], where)
                about = found[name]["run"]["model"]
                model |= {"class": about["class"], "settings": about["settings"]}
            elif model["class"] is None:
                raise UserError(f"{where}: missing class")
        return found

    def _has_best(self, name: str) -> bool:
        """Whether a model's runs keep their best checkpoint."""
        if name in self._finished:
            return self._finished[name]["best"] is not None
        return bool(self.models[name]["training"]["watch_kimg"])

    def _resolve(self, name: str) -> dict[str, Any]:
        """A model's complete settings, after checks of its class and base."""
        model, where = self.models[name], f"models.{name}"
        found = find_model(model["class"], f"{where}.class")
        if name in self._finished:
            if self.evaluation["checkpoint"] == "best" and not self._has_best(name):
                raise UserError(
                    f"{where}.run: its training was not watched, so it has no best checkpoint; set "
                    "evaluation.checkpoint: last"
                )
            return resolve_settings(found, model["settings"], f"{where}.settings")
        if found.needs_base and model["base"] is None:
            raise UserError(
                f"{where}: {model['class']} starts from another model; name it as 'base'"
            )
        if not found.needs_base and model["base"] is not None:
            raise UserError(
                f"{where}.base: {model['class']} starts from no other model; leave it out"
            )
        seen = [name]
        while (base := self.models[seen[-1]]["base"]) is not None:
            if base not in self.models:
                known = did_you_mean(base, list(self.models))
                raise UserError(f"models.{seen[-1]}.base: there is no model '{base}'{known}")
            if base in seen:
                raise UserError(
                    f"{where}.base: {' <- '.join([*seen, base])} goes round in a circle"
                )
            seen.append(base)
        if self.evaluation["checkpoint"] == "best" and not self._has_best(name):
            raise UserError(
                f"evaluation.checkpoint: best needs a quick score of every model; set "
                f"{where}.training.watch_kimg above 0, or checkpoint: last"
            )
        self._check_protocol(model["training"], f"{where}.training")
        settings = resolve_settings(found, model["settings"], f"{where}.settings")
        checkpoint = getattr(found.settings(**settings), "base_checkpoint", None)
        if checkpoint == "best" and not self._has_best(model["base"]):
            raise UserError(
                f"{where} starts from the best checkpoint of {model['base']}, which needs a quick "
                f"score; set models.{model['base']}.training.watch_kimg above 0, or start from "
                "the last one"
            )
        return settings

    def _check_protocol(self, training: dict[str, Any], where: str) -> None:
        """The protocol of a quick score must be one of the experiment's; the first by default."""
        name = training["watch_protocol"] or self.by_features[0].name
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
        training["watch_protocol"] = name

    def _training(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """What a model's weights depend on in its training settings.

        A protocol stands there as the feature space that it names.
        """
        training = {k: v for k, v in model["training"].items() if k not in WITHOUT_EFFECT}
        protocol = self.protocols[training.pop("watch_protocol")]
        if not training["watch_kimg"]:
            training.pop("watch_images")
            return training
        return {**training, "watch_space": str(protocol.space)}

    def _check_figures(self) -> None:
        """Paintings that are to be drawn must be among those that are saved."""
        figures = self.config["figures"]
        paintings = figures["paintings"]
        if figures["strips"] is None:
            figures["strips"] = list(range(min(3, paintings)))
        for n in figures["strips"]:
            if n >= paintings:
                raise UserError(
                    f"figures.strips: there is no painting {n} (counted from 0) among the "
                    f"{paintings} that are saved; raise figures.paintings"
                )

    def _run(self, dataset: str, name: str, seed: int) -> Run:
        model = self.models[name]
        spec = self.datasets[dataset]
        if name in self._finished:
            where, first = f"models.{name}.run", self.config["seeds"][0]
            return finished.resolve(self._finished[name], name, spec, first, where)
        base = self._run(dataset, model["base"], seed) if model["base"] else None
        resolved = RunModel(name, model["class"], self._settings[name])
        training = self._training(model)
        digest = run_digest(spec, resolved.as_json(), training, seed, base.digest if base else None)
        return Run(spec, resolved, Budget(**training), seed, digest, base)

    def claim(self) -> None:
        """Mark the results folder as this experiment's, and describe there what belongs to it."""
        path, about = self.results / artifacts.EXPERIMENT, self.describe()
        if not path.exists() or read_json(path) != about:
            write_json(path, about)

    def describe(self) -> dict[str, Any]:
        """The experiment as JSON: all that figures and report need to know without its models."""
        return {
            "format": FORMAT,
            "experiment": self.name,
            # How the work is done and packed changes nothing that is made, the report included.
            "config": {k: v for k, v in self.config.items() if k not in UNDESCRIBED},
            "samples": self.sampled.removeprefix("samples-").removesuffix(".npy"),
            "shown_samples": self.shown_count,
            "protocols": [
                {**protocol.as_dict(), "score": self.score_file(name).removesuffix(".json")}
                for name, protocol in self.protocols.items()
            ],
            # Lists, because JSON on disk has its keys sorted.
            "datasets": [
                {"name": name, "store": store_name(spec)} for name, spec in self.datasets.items()
            ],
            "models": [
                {"name": name, "label": self.label(name), "paints": self.paints(name)}
                for name in self.models
            ],
            "runs": [
                {
                    "dataset": run.dataset.name,
                    "resolution": run.dataset.resolution,
                    "model": run.model.name,
                    "seed": run.seed,
                    "folder": run.folder,
                    "digest": run.digest,
                    "kimg": run.training.kimg,
                    "painter_steps": run.model.settings.get("painter", {}).get("steps"),
                }
                for run in self.runs
            ],
            # Left out where there are none, as by versions without them.
            **({"claims": [c.model_dump(mode="json") for c in self.claims]} if self.claims else {}),
        }

    @property
    def by_features(self) -> list[protocols.Protocol]:
        """The protocols that compare samples with real images."""
        return [protocol for protocol in self.protocols.values() if not protocol.of_paths]

    @property
    def sample_count(self) -> int:
        """Samples of each run: a short sample is the beginning of a long one."""
        return max(protocol.n_fake for protocol in self.by_features)

    @property
    def shown_count(self) -> int:
        """Samples of a run that the figures show, and that are kept."""
        return min(self.config["figures"]["grid"], self.sample_count)

    @property
    def sampled(self) -> str:
        """The file of the samples that are scored, in a run's folder."""
        return self._samples(self.sample_count)

    @property
    def shown(self) -> str:
        """The file of the samples that the figures show: the first of those that are scored."""
        return self._samples(self.shown_count)

    def _samples(self, count: int) -> str:
        evaluation = self.evaluation
        return artifacts.samples(evaluation["checkpoint"], count, evaluation["seed"])

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

    def checkpoint_kimg(self, model: str) -> float:
        """Thousand images between two checkpoints of a model's training."""
        return self.models[model]["training"]["checkpoint_kimg"]

    def finished_weights(self, model: str) -> str | None:
        """The weights of the finished run in the place of a model's training, if there is one."""
        return (
            f"{self.models[model]['run']}/{artifacts.WEIGHTS}" if model in self._finished else None
        )

    def paints(self, model: str) -> bool:
        """Whether a model shows how it paints."""
        return find_model(self.models[model]["class"], model).paints

    def score_file(self, protocol: str) -> str:
        """A run's score file by a protocol."""
        digest = score_digest(self.protocols[protocol].as_dict(), self.evaluation)
        return artifacts.score(protocol, digest)

    def label(self, model: str) -> str:
        """A model's name in tables and figures."""
        return self.models[model]["label"] or model


def check_owner(results: Path, name: str) -> None:
    """A results folder belongs to one experiment, and to versions that name runs alike."""
    path = results / artifacts.EXPERIMENT
    if not path.exists():
        return
    about = read_json(path)
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
