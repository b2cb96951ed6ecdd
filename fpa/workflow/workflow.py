"""What the workflow's rules ask of an experiment: files of jobs, their inputs and their options.

The rules hold shell commands and resources. What depends on the configuration is decided here,
where it can be tested without Snakemake. Functions of `wildcards` are Snakemake's input and params
functions; patterns are paths with wildcards in them.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import write_json, write_text
from fpa.data.sources import SOURCES, downloadable, store_name
from fpa.evaluation.extractors import find_extractor
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.protocols import Protocol, Space
from fpa.evaluation.run_artifacts import ARTIFACTS
from fpa.experiment.plan import Plan
from fpa.reporting import bundle
from fpa.reporting.figures import figures
from fpa.reporting.player import played_files
from fpa.reporting.tables import table_names
from fpa.runs.run import Run
from fpa.workflow.checks import check_before_start, check_shareable, not_measured, to_fetch
from fpa.workflow.immutable_outputs import kept_files
from fpa.workflow.snakemake_internals import ancient

SCORE_OPTIONS = ("checkpoint", "frechet", "kid_subsets", "kid_subset_size", "groups", "seed")
NAMES = ("model", "store", "extractor", "archive", "space", "figure", "table")
RUN = artifacts.run_folder("{dataset}", "{model}", "{run}")

Wildcards: TypeAlias = Any
Inputs: TypeAlias = dict[str, str | list[str]]
"""Paths by name. Where the age of a file does not matter, its path is marked for Snakemake."""


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


class Workflow:
    """An experiment as Snakemake's rules see it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.experiment = plan.experiment
        self.config = plan.config
        self.runtime = self.config.runtime
        self.evaluation = self.config.evaluation
        self.checkpoint = self.evaluation.checkpoint
        self.seed = self.evaluation.seed
        self.results, self.data = str(plan.results), str(plan.data)
        self.runs = {run.folder: run for run in plan.all_runs()}
        self.bases = {run.base.folder for run in self.runs.values() if run.base}
        """Folders of runs that others start from."""
        self.stores = {store_name(spec): spec for spec in plan.datasets.values()}
        self.about = self.experiment.as_json()
        self.drawn = figures(self.experiment)
        self.protocols = {p.score_file: p for p in self.experiment.protocols}
        # As text, because resources are words or whole numbers.
        self.precision = ",".join(self.runtime.precision) or "float32"
        self.memory_format = "channels_last" if self.runtime.channels_last else "contiguous"
        # What a job that can use a GPU asks for.
        self.gpus = 0 if self.runtime.device == "cpu" else 1
        self.kept = frozenset(kept_files(plan.results, self.runs.values(), self.protocols))
        # Patterns of files in a run's folder.
        self.finished_run = {
            "weights": self.in_run(artifacts.WEIGHTS),
            "summary": self.in_run(artifacts.SUMMARY),
        }
        self.samples = self.in_run(plan.sampled)
        self.shown = self.in_run(self.experiment.samples_file)
        self.features = self.in_run(
            artifacts.features(self.checkpoint, "{images}", self.seed, "{space}")
        )
        self._claiming = threading.Lock()

    @classmethod
    def start(
        cls, config: Mapping[str, Any], main: bool = True, shared: bool = False
    ) -> "Workflow":
        """The workflow of a configuration, checked; ends the program with a line for a mistake.

        main: whether this is the process that the user started. shared: whether work is shared with
        other workflows (--cache).
        """
        try:
            plan = Plan(config)
            if main:
                check_before_start(plan)
            if shared:
                check_shareable(plan)
            workflow = cls(plan)
        except UserError as error:
            sys.exit(f"configuration error: {error}")
        if main and (fetched := to_fetch(plan)):
            print("not here, will be fetched:", ", ".join(fetched), file=sys.stderr)
        for line in not_measured(plan) if main else ():
            print(line, file=sys.stderr)
        return workflow

    def constraints(self) -> dict[str, str]:
        """What wildcards may stand for: nothing that is kept, so that no job makes it again."""
        return {
            **dict.fromkeys(NAMES, r"[^/]+"),
            **dict.fromkeys(("images", "number"), r"\d+"),
            "artifact": _one_of_names(ARTIFACTS),
            "size": r"n\d+|\d+(?:x\d+)+",
            "ending": r"[a-z0-9]+",
            "dataset": _none_of(self.kept) + r"[^/]+",
            "run": r"seed\d+-[0-9a-f]+",
            **{
                kind: _one_of_names(
                    name.removesuffix(".json")
                    for name, protocol in self.protocols.items()
                    if protocol.of_paths == (kind == "paths")
                )
                for kind in ("score", "paths")
            },
        }

    def requested_outputs(self, words: Collection[str]) -> str:
        """What a data set may be in the path of a kept file that a command line names as a target.

        Snakemake wants a rule for every target; that of these has nothing to do.
        """
        below = {word.removeprefix(f"{self.results}/") for word in words}
        return _one_of(below & self.kept) + r"[^/]+"

    # Files --------------------------------------------------------------------------------------

    def in_results(self, *parts: str) -> str:
        return "/".join([self.results, *parts])

    def in_data(self, *parts: str) -> str:
        return "/".join([self.data, *parts])

    def in_run(self, file: str) -> str:
        """The pattern of a file in a run's folder."""
        return self.in_results(RUN, file)

    def log(self, *parts: str) -> str:
        return self.in_results(artifacts.LOGS, *parts)

    def tables(self) -> list[str]:
        return [
            self.in_results(artifacts.table(name, ending))
            for name in table_names(self.experiment)
            for ending in ("csv", "md", "tex")
        ]

    def figures(self) -> list[str]:
        return [self.in_results(file) for spec in self.drawn.values() for file in spec.files]

    def scores(self) -> list[str]:
        """Every score file, in the order of the tables' rows."""
        return [
            self.in_results(run.folder, name) for name in self.protocols for run in self.plan.runs
        ]

    def costs(self) -> list[str]:
        """A cost file for every model and data set."""
        first = self.experiment.runs_of(seed=self.experiment.first_seed)
        return [self.in_results(run.folder, artifacts.COST) for run in first]

    def summaries(self) -> list[str]:
        """What every finished training says of itself."""
        return [self.in_results(r.folder, artifacts.SUMMARY) for r in self.plan.runs]

    def bundled(self) -> list[str]:
        names = bundle.contents(self.experiment, self.config.bundle.weights)
        return [self.in_results(name) for name in names]

    def played(self) -> list[str]:
        """The painting traces and the painters that the report's player shows."""
        return [self.in_results(path) for path in played_files(self.experiment, self.drawn)]

    # Data ---------------------------------------------------------------------------------------

    def archive_source(self, wildcards: Wildcards) -> str:
        """A data set that comes in this archive."""
        return next(n for n, s in SOURCES.items() if s.url and s.archive == wildcards.archive)

    def archive(self, wildcards: Wildcards) -> list[str]:
        """The archive of a data set, if it is fetched unattended.

        Whoever put an archive there may take it away again: its age does not matter.
        """
        dataset = self.stores[wildcards.store]
        fetched = downloadable(dataset, self.plan.data)
        return [ancient(str(dataset.path))] if fetched else []

    def extractor_options(self, wildcards: Wildcards) -> list[str]:
        """The folder of the extractor's files, where the configuration names one."""
        folder = self.config.inception_weights
        network, _ = find_extractor(wildcards.extractor, "extractor")
        return ["--weights", folder] if folder and network.downloads else []

    def extractor(self, wildcards: Wildcards) -> str:
        """The description of a feature space's network."""
        return self._extractor(Space.parse(wildcards.space).extractor)

    def extractors(self, wildcards: Wildcards) -> list[str]:
        """Those that the experiment's scores need."""
        return [self._extractor(p.extractor) for p in self.experiment.protocols]

    def _extractor(self, name: str) -> str:
        return ancient(self.in_data(artifacts.extractor(name)))

    def store(self, wildcards: Wildcards) -> Inputs:
        """The prepared images of a run's data set; what was made from them stays good."""
        name = self.run(wildcards).store
        paths = {"images": artifacts.store_images(name), "manifest": artifacts.store_manifest(name)}
        return {key: ancient(self.in_data(path)) for key, path in paths.items()}

    def real_features(self, store: str, space: object) -> str:
        """The features of a data set's images."""
        return ancient(self.in_data(artifacts.real_features(store, space)))

    def real_radii(self, store: str, protocol: Protocol) -> str:
        """What a data set's images cover in a protocol's feature space."""
        file = artifacts.real_radii(store, protocol.space, protocol.most_covered, self.seed)
        return ancient(self.in_data(file))

    # Runs ---------------------------------------------------------------------------------------

    def run(self, wildcards: Wildcards) -> Run:
        """The run that a job's wildcards name."""
        return self.runs[artifacts.run_folder(wildcards.dataset, wildcards.model, wildcards.run)]

    def write_run(self, wildcards: Wildcards, path: str, log: str) -> None:
        """Write a resolved run, and the experiment's description if it is not there.

        Several threads of one process may do so at once.
        """
        with self._claiming:
            if not (self.plan.results / artifacts.EXPERIMENT).exists():
                self.plan.claim()
        write_json(path, self.run(wildcards).as_json())
        write_text(log, f"{path}\n")

    def train_inputs(self, wildcards: Wildcards) -> Inputs:
        """Images and, where the run asks for them, base and real features, or a finished run.

        What is there stays good: a run's folder names everything that it depends on, and the
        training refuses images that changed.
        """
        run = self.run(wildcards)
        inputs = self.store(wildcards)
        if run.is_finished:
            finished = self.plan.models[run.model.name].run
            return {**inputs, "finished": ancient(f"{finished}/{artifacts.WEIGHTS}")}
        if run.training.watch_kimg:
            space = Space.parse(run.training.watch_space)
            inputs["real"] = self.real_features(run.store, space)
            inputs["extractor"] = self._extractor(space.extractor)
        if run.base:
            inputs["base"] = ancient(self.in_results(run.base.folder, artifacts.WEIGHTS))
        return inputs

    def train_priority(self, wildcards: Wildcards) -> int:
        """Models are trained in the order in which the configuration names them, but those that others start
        from before anything else. Scores of what is trained (priorities 100 and 200) go before other trainings.
        """
        run = self.run(wildcards)
        names = list(self.plan.models)
        return 300 if run.folder in self.bases else len(names) - names.index(run.model.name)

    def train_options(self, wildcards: Wildcards, input: Any) -> list[str]:
        """The same on the command line."""
        options = ["--store", str(Path(input.images).parent)]
        given = set(input.keys())  # iterating over Snakemake's input gives its values
        if "real" in given:
            options += ["--real", input.real, "--extractor", input.extractor]
        for name in given & {"base", "finished"}:
            options += [f"--{name}", str(Path(input[name]).parent)]
        return options

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

    def protocol(self, score: str) -> Protocol:
        """The protocol of a score file, which is named without its ending."""
        return self.protocols[f"{score}.json"]

    def _pair(self, run: Run, count: int, space: object) -> list[str]:
        file = artifacts.features(self.checkpoint, count, self.seed, space)
        return [self.in_results(run.folder, file), self.real_features(run.store, space)]

    def score_inputs(self, wildcards: Wildcards) -> Inputs:
        """The features that a run is scored by, and for the cross-check those of both libraries."""
        run, protocol = self.run(wildcards), self.protocol(wildcards.score)
        n, spaces = protocol.n_fake, protocol.checked_spaces
        inputs: Inputs = {"features": self._pair(run, n, protocol.space)}
        if self.evaluation.cross_check:
            inputs["check"] = [path for space in spaces for path in self._pair(run, n, space)]
        if run.seed == self.experiment.first_seed and protocol == self.experiment.first_protocol:
            # Not read. It is made of the same features, which go with the last job that needs them.
            name = self.experiment.neighbours_file
            inputs["compared"] = self.in_results(run.folder, name)
        if any(METRICS[name].uses_real_radii for name in self.evaluation.metrics):
            inputs["radii"] = self.real_radii(run.store, protocol)
        return inputs

    def score_options(self, wildcards: Wildcards, input: Any) -> list[str]:
        """How a run is measured, on the command line."""
        protocol = self.protocol(wildcards.score)
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

    def path_network(self, wildcards: Wildcards) -> str:
        """The description of the network that compares images along paths between latents."""
        return self._extractor(self.protocol(wildcards.paths).extractor)

    def neighbour_features(self, wildcards: Wildcards) -> Inputs:
        """The features by which samples are compared with training images: the first protocol's."""
        protocol = self.experiment.first_protocol
        fake, real = self._pair(self.run(wildcards), protocol.n_fake, protocol.space)
        return {"fake": fake, "real": real}

    def neighbour_store(self, wildcards: Wildcards, input: Any) -> list[str]:
        """Where the training images are that are shown, as an option."""
        shown = self.config.figures.real_images
        return ["--store", str(Path(input.images).parent)] if shown else []

    def figure_inputs(self, wildcards: Wildcards) -> list[str]:
        inputs = self.drawn[wildcards.figure].inputs
        return [self.in_results(part.path) for part in inputs if not part.optional]

    def figure_spec(self, wildcards: Wildcards) -> dict[str, object]:
        """All else that a figure depends on: a change draws it again."""
        return self.drawn[wildcards.figure].as_json()


def _one_of_names(names: Iterable[str]) -> str:
    """These names, or nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def _one_of(files: Collection[str]) -> str:
    """A lookahead from a data set's name on: the rest of the path is that of one of these files."""
    rests = (re.escape(file.partition("/")[2]) for file in sorted(files))
    return f"(?=(?:{'|'.join(rests)})$)" if files else "(?!)"


def _none_of(files: Collection[str]) -> str:
    """The same for a path that is none of theirs."""
    return _one_of(files).replace("(?=", "(?!", 1) if files else ""
