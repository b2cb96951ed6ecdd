"""From a configuration to the list of runs that it asks for, checked before any of them starts."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.common.errors import UserError, did_you_mean
from fpa.common.files import digest, read_json, write_json
from fpa.data.catalogue import SOURCES, downloadable, identity, instructions, resolve, store_name
from fpa.evaluation import protocols, weights
from fpa.evaluation.protocols import check_extractor
from fpa.experiment.config import check_config
from fpa.models import interface as contract
from fpa.training.run import Run, build_model

OWNER = "experiment.json"


class Experiment:
    """A checked configuration and the runs that it asks for. Raises UserError for a bad one."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = check_config(config)
        self.name: str = self.config["experiment"]
        self.results = Path(self.config["results"] or f"results/{self.name}")
        self.data = Path(self.config["data"])
        self.models: dict[str, Any] = self.config["models"]
        self.datasets = {
            name: resolve(name, spec, self.data, f"datasets.{name}")
            for name, spec in self.config["datasets"].items()
        }
        self.protocols = {
            name: protocols.resolve(name, settings, f"evaluation.protocols.{name}")
            for name, settings in self.config["evaluation"]["protocols"].items()
        }
        self._check_figures()
        self._settings = {name: self._resolve(name) for name in self.models}
        self.runs = [
            self._run(dataset, model, seed)
            for dataset in self.datasets
            for model in self.models
            for seed in self.config["seeds"]
        ]
        self._check_owner()

    def _resolve(self, name: str) -> dict[str, Any]:
        """A model's complete settings, after checks of its class and base."""
        model, where = self.models[name], f"models.{name}"
        model_class = contract.find_class(model["class"], f"{where}.class")
        needs_base = getattr(model_class, "needs_base", False)
        if needs_base and model["base"] is None:
            raise UserError(
                f"{where}: {model['class']} starts from another model; name it as 'base'"
            )
        if not needs_base and model["base"] is not None:
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
        if (
            self.config["evaluation"]["checkpoint"] == "best"
            and not model["training"]["watch_kimg"]
        ):
            raise UserError(
                f"evaluation.checkpoint: best needs a quick score of every model; set "
                f"{where}.training.watch_kimg above 0, or checkpoint: last"
            )
        if model["training"]["watch_kimg"]:
            check_extractor(
                model["training"]["watch_extractor"], f"{where}.training.watch_extractor"
            )
        return contract.resolve_settings(model_class, model["settings"], f"{where}.settings")

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
        return Run(
            dataset=identity(self.datasets[dataset]),
            model={"name": name, "class": model["class"], "settings": self._settings[name]},
            training=model["training"],
            seed=seed,
            base=self._run(dataset, model["base"], seed) if model["base"] else None,
        )

    def _check_owner(self) -> None:
        """A results folder belongs to one experiment."""
        owner = self.results / OWNER
        if owner.exists():
            other = read_json(owner)["experiment"]
            if other != self.name:
                raise UserError(
                    f"{self.results} belongs to the experiment '{other}', not '{self.name}'; "
                    "set another 'results' folder, or leave it out"
                )

    def check_before_start(self) -> None:
        """Everything that would fail after hours and can be known in seconds. UserError if so."""
        import torch

        missing = [instructions(spec) for spec in self.datasets.values() if self._is_missing(spec)]
        folder = self.config["inception_weights"]
        if folder:
            missing += [
                f"inception_weights: there is no {name} in the folder {folder}; put it there, or "
                "leave the key out to have it downloaded"
                for name in self._missing_weights()
            ]
        if missing:
            fetched = [f"{name}: not here, will be fetched" for name in self.to_fetch()]
            raise UserError("\n".join([*missing, *fetched]))
        for run in {(r.dataset["name"], r.model["name"]): r for r in self.runs}.values():
            count = run.dataset["count"]
            if count is not None and run.training["batch_size"] > count:
                raise UserError(
                    f"models.{run.model['name']}.training.batch_size: "
                    f"{run.training['batch_size']} is larger than the data set "
                    f"{run.dataset['name']} ({count:,} images)"
                )
            contract.check_processes(
                run.model["class"], run.training["batch_size"], self.config["runtime"]["gpus"]
            )
            for protocol in self.protocols.values():
                if count is not None and (protocol.n_real or 0) > count:
                    raise UserError(
                        f"evaluation.protocols.{protocol.name}.n_real: {protocol.n_real:,} is more "
                        f"than the data set {run.dataset['name']} has ({count:,} images)"
                    )
            # On the meta device: sizes that do not fit are found without making any weights.
            with torch.device("meta"):
                model = build_model(run)
                contract.check_images(
                    model, run.model["class"], run.dataset["resolution"], run.dataset["channels"]
                )
        for key, folder in (("results", self.results), ("data", self.data)):
            existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
            try:
                # Permissions alone do not tell: a file system may be full or read-only.
                with tempfile.TemporaryFile(dir=existing):
                    pass
            except OSError as error:
                raise UserError(
                    f"{key}: cannot make {folder}: {existing}: {error.strerror}; choose another folder"
                ) from error

    def to_fetch(self) -> list[str]:
        """Archives and weights that are not here, and are downloaded when the work starts."""
        sources = {
            spec["path"]: SOURCES[spec["source"]]
            for spec in self.datasets.values()
            if spec["path"] is not None
            and downloadable(spec, self.data)
            and not self._is_prepared(spec)
            and not Path(spec["path"]).exists()
        }
        archives = [f"{source.archive} ({source.size})" for source in sources.values()]
        return archives if self.config["inception_weights"] else archives + self._missing_weights()

    def _missing_weights(self) -> list[str]:
        """Files of the Inception network, if the experiment uses it, that are nowhere to be found."""
        extractors = {protocol.extractor for protocol in self.protocols.values()} | {
            run.training["watch_extractor"] for run in self.runs if run.training["watch_kimg"]
        }
        folder = self.data / "extractors"
        if "inception_v3" not in extractors or (folder / "inception_v3.json").exists():
            return []
        configured = self.config["inception_weights"]
        return [
            names[0]
            for kind, names in weights.INCEPTION.items()
            if not weights.found(kind, configured, folder)
        ]

    def check_shareable(self) -> None:
        """UserError for images of one's own under a path that means others in another clone."""
        for name, spec in self.datasets.items():
            if spec["source"] == "folder" and not Path(spec["path"]).expanduser().is_absolute():
                raise UserError(
                    f"datasets.{name}.path: {spec['path']} may be other images in another clone; "
                    "give an absolute path to share work with --cache"
                )

    def _is_prepared(self, dataset: Mapping[str, Any]) -> bool:
        return (self.data / store_name(dataset) / "manifest.json").exists()

    def _is_missing(self, dataset: Mapping[str, Any]) -> bool:
        """Whether a data set is not prepared, and cannot be from what is there or can be fetched."""
        if dataset["path"] is None or downloadable(dataset, self.data):
            return False
        return not self._is_prepared(dataset) and not Path(dataset["path"]).expanduser().exists()

    def claim(self) -> None:
        """Mark the results folder as this experiment's own, and say there what belongs to it."""
        about = self.describe()
        if not (self.results / OWNER).exists() or read_json(self.results / OWNER) != about:
            write_json(self.results / OWNER, about)

    def describe(self) -> dict[str, Any]:
        """The experiment as JSON: all that figures and report need to know without its models."""
        painters = self.painters()
        return {
            "experiment": self.name,
            # How the work is done and packed changes nothing that is made, the report included.
            "config": {k: v for k, v in self.config.items() if k not in ("runtime", "bundle")},
            "samples": self.samples,
            "protocols": [
                {**protocol.as_dict(), "score": self.score_name(name)}
                for name, protocol in self.protocols.items()
            ],
            # Lists, because JSON on disk has its keys sorted.
            "datasets": [
                {"name": name, "store": store_name(spec)} for name, spec in self.datasets.items()
            ],
            "models": [
                {"name": name, "label": self.label(name), "paints": name in painters}
                for name in self.models
            ],
            "runs": [
                {
                    "dataset": run.dataset["name"],
                    "resolution": run.dataset["resolution"],
                    "model": run.model["name"],
                    "seed": run.seed,
                    "folder": run.folder,
                    "digest": run.digest,
                    "kimg": run.training["kimg"],
                    "painter_steps": run.model["settings"].get("painter", {}).get("steps"),
                }
                for run in self.runs
            ],
        }

    @property
    def samples(self) -> str:
        """Which samples are scored and shown, as a part of file names."""
        evaluation = self.config["evaluation"]
        # A short sample is the beginning of a long one: the longest serves every protocol.
        longest = max(protocol.n_fake for protocol in self.protocols.values())
        return f"{evaluation['checkpoint']}-n{longest}-seed{evaluation['seed']}"

    def all_runs(self) -> list[Run]:
        """The experiment's runs and the ones that they start from."""
        found: dict[str, Run] = {}
        for run in self.runs:
            while run is not None:
                found[run.folder] = run
                run = run.base
        return list(found.values())

    def painters(self) -> list[str]:
        """Models that can show their strokes."""
        classes = {n: contract.find_class(m["class"], n) for n, m in self.models.items()}
        return [name for name, found in classes.items() if hasattr(found, "paint")]

    def score_name(self, protocol: str) -> str:
        """The name of a run's score file by a protocol: everything that the score depends on."""
        settings = {k: v for k, v in self.config["evaluation"].items() if k != "protocols"}
        complete = {**settings, "protocol": self.protocols[protocol].as_dict()}
        return f"score-{protocol}-{digest(complete)[:10]}"

    def label(self, model: str) -> str:
        """A model's name in tables and figures."""
        return self.models[model]["label"] or model
