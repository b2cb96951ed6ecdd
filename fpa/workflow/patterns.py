"""An experiment's files as Snakemake's rules name them: patterns, targets, what wildcards stand for."""

import re
import threading
from collections.abc import Collection, Iterable

from fpa.core import artifacts
from fpa.data.sources import store_name
from fpa.evaluation.run_artifacts import ARTIFACTS
from fpa.experiment.plan import Plan
from fpa.reporting import bundle
from fpa.reporting.figures import figures
from fpa.reporting.player import played_files
from fpa.reporting.tables import table_names
from fpa.workflow.immutable_outputs import kept_files

NAMES = ("model", "store", "extractor", "archive", "space", "figure", "table")
RUN = artifacts.run_folder("{dataset}", "{model}", "{run}")


class Patterns:
    """An experiment's files below its results and data folders."""

    def __init__(self, experiment: Plan) -> None:
        self.experiment = experiment
        self.config = experiment.config
        self.runtime = self.config.runtime
        self.evaluation = self.config.evaluation
        self.checkpoint = self.evaluation.checkpoint
        self.seed = self.evaluation.seed
        self.results, self.data = str(experiment.results), str(experiment.data)
        self.runs = {run.folder: run for run in experiment.all_runs()}
        self.stores = {store_name(spec): spec for spec in experiment.datasets.values()}
        self.about = experiment.describe()
        self.described = experiment.experiment
        self.drawn = figures(self.described)
        self.protocols = {
            experiment.score_file(name): p for name, p in experiment.protocols.items()
        }
        # As text, because resources are words or whole numbers.
        self.precision = ",".join(self.runtime.precision) or "float32"
        self.memory_format = "channels_last" if self.runtime.channels_last else "contiguous"
        # What a job that can use a GPU asks for.
        self.gpus = 0 if self.runtime.device == "cpu" else 1
        self.kept = frozenset(kept_files(experiment.results, self.runs.values(), self.protocols))
        self._claiming = threading.Lock()

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
        """A path below the results folder."""
        return "/".join([self.results, *parts])

    def in_data(self, *parts: str) -> str:
        """A path below the data folder."""
        return "/".join([self.data, *parts])

    def in_run(self, file: str) -> str:
        """The pattern of a file in a run's folder."""
        return self.in_results(RUN, file)

    def log(self, *parts: str) -> str:
        """The pattern of a job's log."""
        return self.in_results(artifacts.LOGS, *parts)

    def finished_run(self) -> dict[str, str]:
        """What a finished training leaves, as patterns."""
        return {
            "weights": self.in_run(artifacts.WEIGHTS),
            "summary": self.in_run(artifacts.SUMMARY),
        }

    def samples(self) -> str:
        """The pattern of the samples that a run is scored by."""
        return self.in_run(self.experiment.sampled)

    def shown(self) -> str:
        """The pattern of the samples that the figures show."""
        return self.in_run(self.experiment.shown)

    def features(self, count: object = "{images}", space: object = "{space}") -> str:
        """The pattern of a run's features."""
        return self.in_run(artifacts.features(self.checkpoint, count, self.seed, space))

    def tables(self) -> list[str]:
        """Every table's files."""
        return [
            self.in_results(artifacts.table(name, ending))
            for name in table_names(self.described)
            for ending in ("csv", "md", "tex")
        ]

    def figures(self) -> list[str]:
        """Every figure's files."""
        return [self.in_results(file) for spec in self.drawn.values() for file in spec.files]

    def scores(self) -> list[str]:
        """Every score file, in the order of the tables' rows."""
        return [
            self.in_results(run.folder, name)
            for name in self.protocols
            for run in self.experiment.runs
        ]

    def costs(self) -> list[str]:
        """A cost file for every model and data set."""
        first = self.config.seeds[0]
        runs = [run for run in self.experiment.runs if run.seed == first]
        return [self.in_results(run.folder, artifacts.COST) for run in runs]

    def summaries(self) -> list[str]:
        """What every finished training says of itself."""
        return [self.in_results(r.folder, artifacts.SUMMARY) for r in self.experiment.runs]

    def bundled(self) -> list[str]:
        """What a bundle holds."""
        names = bundle.contents(self.described, self.config.bundle.weights)
        return [self.in_results(name) for name in names]

    def played(self) -> list[str]:
        """The painting traces and the painters that the report's player shows."""
        return [self.in_results(path) for path in played_files(self.described, self.drawn)]


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
