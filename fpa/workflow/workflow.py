"""What the workflow's rules ask of an experiment: files of jobs, their inputs and their options.

The rules hold shell commands and resources. What depends on the configuration is decided here,
where it can be tested without Snakemake. Functions of `wildcards` are Snakemake's input and params
functions.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import write_json, write_text
from fpa.data.sources import SOURCES, downloadable
from fpa.evaluation.extractors import find_extractor
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.protocols import Protocol, Space
from fpa.experiment.plan import Plan
from fpa.runs.run import Run
from fpa.workflow.checks import check_before_start, check_shareable, to_fetch
from fpa.workflow.patterns import Patterns
from fpa.workflow.snakemake_internals import ancient

SCORE_OPTIONS = ("checkpoint", "frechet", "kid_subsets", "kid_subset_size", "groups", "seed")


def prepare_environment(root: Path) -> None:
    """Let jobs run this interpreter and the code in `root`, activated or not, installed or not.

    Jobs share the terminal, so their progress comes in whole lines instead of live bars.
    """
    _prepend("PATH", str(Path(sys.executable).parent))
    _prepend("PYTHONPATH", str(root))
    os.environ.setdefault("FPA_PROGRESS", "lines")
    # A scheduler's warning goes to a whole job: the training answers it, and Snakemake must not
    # die of it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _prepend(variable: str, value: str) -> None:
    parts = os.environ.get(variable, "").split(os.pathsep)
    os.environ[variable] = os.pathsep.join([value, *(p for p in parts if p and p != value)])


class Workflow(Patterns):
    """An experiment as Snakemake's rules see it."""

    @classmethod
    def start(
        cls, config: Mapping[str, Any], main: bool = True, shared: bool = False
    ) -> "Workflow":
        """The workflow of a configuration, checked; ends the program with a line for a mistake.

        main: whether this is the process that the user started. shared: whether work is shared with
        other workflows (--cache).
        """
        try:
            experiment = Plan(config)
            if main:
                check_before_start(experiment)
            if shared:
                check_shareable(experiment)
        except UserError as error:
            sys.exit(f"configuration error: {error}")
        if main and (fetched := to_fetch(experiment)):
            print("not here, will be fetched:", ", ".join(fetched), file=sys.stderr)
        return cls(experiment)

    # Data ---------------------------------------------------------------------------------------

    def archive_source(self, wildcards: Any) -> str:
        """A data set that comes in this archive."""
        return next(n for n, s in SOURCES.items() if s.url and s.archive == wildcards.archive)

    def archive(self, wildcards: Any) -> list[Any]:
        """The archive of a data set, if it is fetched unattended.

        Whoever put an archive there may take it away again: its age does not matter.
        """
        dataset = self.stores[wildcards.store]
        fetched = downloadable(dataset, self.experiment.data)
        return [ancient(str(dataset.path))] if fetched else []

    def dataset(self, wildcards: Any) -> list[str]:
        """A data set's name and settings, as `python -m fpa prepare` takes them."""
        return self.stores[wildcards.store].as_words()

    def extractor_options(self, wildcards: Any) -> list[str]:
        """The folder of the extractor's files, where the configuration names one."""
        folder = self.config.inception_weights
        network, _ = find_extractor(wildcards.extractor, "extractor")
        return ["--weights", folder] if folder and network.downloads else []

    def extractor(self, wildcards: Any) -> Any:
        """The description of a feature space's network."""
        return self._extractor(Space.parse(wildcards.space).extractor)

    def extractors(self, wildcards: Any) -> list[Any]:
        """Those that the experiment's scores need."""
        return [self._extractor(p.extractor) for p in self.experiment.protocols.values()]

    def _extractor(self, name: str) -> Any:
        return ancient(self.in_data(artifacts.extractor(name)))

    def store(self, wildcards: Any) -> dict[str, Any]:
        """The prepared images of a run's data set; what was made from them stays good."""
        name = self.run(wildcards).store
        paths = {
            "images": artifacts.store_images(name),
            "manifest": artifacts.store_manifest(name),
        }
        return {key: ancient(self.in_data(path)) for key, path in paths.items()}

    def real_features(self, store: str, space: object) -> Any:
        """The features of a data set's images."""
        return ancient(self.in_data(artifacts.real_features(store, space)))

    def real_radii(self, store: str, protocol: Protocol) -> Any:
        """What a data set's images cover in a protocol's feature space."""
        file = artifacts.real_radii(store, protocol.space, protocol.most_covered, self.seed)
        return ancient(self.in_data(file))

    # Runs ---------------------------------------------------------------------------------------

    def run(self, wildcards: Any) -> Run:
        """The run that a job's wildcards name."""
        return self.runs[artifacts.run_folder(wildcards.dataset, wildcards.model, wildcards.run)]

    def run_digest(self, wildcards: Any) -> str:
        """What makes a run's description out of date."""
        return self.run(wildcards).digest

    def write_run(self, wildcards: Any, path: str, log: str) -> None:
        """Write a resolved run, and the experiment's description if it is not there.

        Several threads of one process may do so at once.
        """
        with self._claiming:
            if not (self.experiment.results / artifacts.EXPERIMENT).exists():
                self.experiment.claim()
        write_json(path, self.run(wildcards).as_json())
        write_text(log, f"{path}\n")

    def train_inputs(self, wildcards: Any) -> dict[str, Any]:
        """Images and, where the run asks for them, base and real features, or a finished run.

        What is there stays good: a run's folder names everything that it depends on, and the
        training refuses images that changed.
        """
        run = self.run(wildcards)
        inputs = self.store(wildcards)
        if weights := self.experiment.finished_weights(run.model.name):
            return {**inputs, "finished": ancient(weights)}
        if run.training.watch_kimg:
            space = Space.parse(run.training.watch_space)
            inputs["real"] = self.real_features(run.store, space)
            inputs["extractor"] = self._extractor(space.extractor)
        if run.base:
            inputs["base"] = ancient(self.in_results(run.base.folder, artifacts.WEIGHTS))
        return inputs

    def train_options(self, wildcards: Any, input: Any) -> list[str]:
        """The same on the command line."""
        options = ["--store", str(Path(input.images).parent)]
        given = set(input.keys())  # iterating over Snakemake's input gives its values
        if "real" in given:
            options += ["--real", input.real, "--extractor", input.extractor]
        for name in given & {"base", "finished"}:
            options += [f"--{name}", str(Path(input[name]).parent)]
        return options

    def checkpoint_kimg(self, wildcards: Any) -> str:
        """How often a training saves its state; as text, because resources are whole numbers."""
        return str(self.config.models[wildcards.model].training.checkpoint_kimg)

    def train_gpus(self, global_gpus: int | None) -> tuple[int, int | None]:
        """(what a training asks for, what the machine has), in shares of a GPU.

        `--resources gpu=n` counts the GPUs of this machine; each is shared by runs_per_gpu jobs, and
        a training on several takes them whole.
        """
        asked = self.gpus * self.runtime.gpus
        if global_gpus is None:
            return asked, None
        shares = self.runtime.runs_per_gpu
        whole = asked * shares if self.runtime.gpus > 1 else asked
        return whole, global_gpus * shares

    # Scores -------------------------------------------------------------------------------------

    def protocol(self, wildcards: Any) -> Protocol:
        """The protocol of a score file."""
        return self.protocols[f"{wildcards.score}.json"]

    def _pair(self, run: Run, count: int, space: object) -> list[Any]:
        file = artifacts.features(self.checkpoint, count, self.seed, space)
        return [self.in_results(run.folder, file), self.real_features(run.store, space)]

    def score_inputs(self, wildcards: Any) -> dict[str, Any]:
        """The features that a run is scored by, and for the cross-check those of both libraries."""
        run, protocol = self.run(wildcards), self.protocol(wildcards)
        n, spaces = protocol.n_fake, protocol.checked_spaces
        inputs: dict[str, Any] = {"features": self._pair(run, n, protocol.space)}
        if self.evaluation.cross_check:
            inputs["check"] = [path for space in spaces for path in self._pair(run, n, space)]
        if run.seed == self.config.seeds[0] and protocol == self.experiment.by_features[0]:
            # Not read. It is made of the same features, which go with the last job that needs them.
            name = self.described.neighbours_file
            inputs["compared"] = self.in_results(run.folder, name)
        if any(METRICS[name].uses_real_radii for name in self.evaluation.metrics):
            inputs["radii"] = self.real_radii(run.store, protocol)
        return inputs

    def score_options(self, wildcards: Any, input: Any) -> list[str]:
        """How a run is measured, on the command line."""
        protocol = self.protocol(wildcards)
        options = ["--fake", input.features[0], "--real", input.features[1]]
        if self.evaluation.cross_check:
            options += ["--check", *input.check]
        options += ["--radii", input.radii] if "radii" in input.keys() else []  # noqa: SIM118
        if protocol.n_real:
            options += ["--n-real", str(protocol.n_real)]
        options += ["--protocol", protocol.name, "--metrics", *self.evaluation.metrics]
        for key in SCORE_OPTIONS:
            options += [f"--{key.replace('_', '-')}", str(getattr(self.evaluation, key))]
        return options

    def path_protocol(self, wildcards: Any) -> Protocol:
        """The protocol of a score file for paths between latents."""
        return self.protocols[f"{wildcards.paths}.json"]

    def path_network(self, wildcards: Any) -> Any:
        """The description of the network that compares images along them."""
        return self._extractor(self.path_protocol(wildcards).extractor)

    def neighbour_features(self, wildcards: Any) -> dict[str, Any]:
        """The features by which samples are compared with training images: the first protocol's."""
        protocol = self.experiment.by_features[0]
        fake, real = self._pair(self.run(wildcards), protocol.n_fake, protocol.space)
        return {"fake": fake, "real": real}

    def neighbour_store(self, wildcards: Any, input: Any) -> list[str]:
        """Where the training images are that are shown, as an option."""
        shown = self.config.figures.real_images
        return ["--store", str(Path(input.images).parent)] if shown else []

    # Figures ------------------------------------------------------------------------------------

    def figure_inputs(self, wildcards: Any) -> list[str]:
        """The artifacts that a figure shows."""
        inputs = self.drawn[wildcards.figure].inputs
        return [self.in_results(part.path) for part in inputs if not part.optional]

    def figure_spec(self, wildcards: Any) -> dict[str, Any]:
        """All else that a figure depends on: a change draws it again."""
        return self.drawn[wildcards.figure].as_json()

    def figure_caption(self, wildcards: Any) -> str:
        """What a figure shows and what made it."""
        return self.drawn[wildcards.figure].caption

    def figure_category(self, wildcards: Any) -> str:
        """A figure's place in Snakemake's report."""
        return self.drawn[wildcards.figure].category

    def figure_labels(self, wildcards: Any) -> dict[str, str]:
        """A figure's row in Snakemake's report."""
        return dict(self.drawn[wildcards.figure].labels)
