"""What users do around an experiment, in random order, and what must be true after each of it.

The workflow is the real one, and so are its stages, on an experiment of one small painter, or two.
"""

import copy
import os
import random
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import TINY, environment, fpa_ok, quick, run_snakemake, score_by_hand

from fpa.core.files import file_digest, read_json
from fpa.core.registry import PLUGINS
from fpa.data.sources import DatasetSpec
from fpa.experiment.plan import Plan

PAINTER = {"steps": 4, "latent_dim": 8, "hidden_size": 16, "mini_input_size": 8}
TABLE = "results/tiny/tables/scores.csv"
MADE_ONCE = ("state/finished/*", "score-*.json")
"""Files of a run that no later call may make again."""
FINISHED = ("weights.safetensors", "history.csv", *MADE_ONCE)
"""Files of a run that are there, with the same bytes, whatever happens."""


def models() -> dict:
    """Two small painters."""
    model = TINY["models"]["fpa"]
    other = {**model, "settings": {**model["settings"], "painter": {**PAINTER, "steps": 5}}}
    return copy.deepcopy({"fpa": model, "other": other})


def configuration() -> dict:
    """One of them, with one seed, and scores that take no time."""
    config = {**quick(TINY, {"fpa": models()["fpa"]}), "seeds": [0]}
    config["training"]["kimg"] = 0.024
    return config


KNOWN: dict[tuple[str, str], float] = {}
"""What `distance` found, by digest of the weights and name of the data set's folder."""


def distance(folder: Path, dataset: DatasetSpec) -> float:
    """A run's Fréchet distance, computed again from its weights and a data set prepared afresh."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        fpa_ok("prepare", *dataset.as_words(), "--no-config", "--out", "store", cwd=place)
        score_by_hand(
            *(place, folder, "store", "score.json", "--protocol", "small"), metrics=("fid",)
        )
        return read_json(place / "score.json")["metrics"]["fid"]["value"]


class Users:
    """A working directory, its configuration, and what has been finished in it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.config = configuration()
        self.finished: dict[str, str] = {}
        self.done: list[str] = []
        self.due = folder.with_name(f"{folder.name}-accident")

    # What Snakemake is told, and what is checked behind it ---------------------------------------

    def snakemake(self) -> None:
        """The workflow to its table; with an accident, again until it is there."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config))
        options = ["--cores", 2, "--directory", self.folder, "--latency-wait", 0]
        options += ["--configfile", path]
        env = {**environment(), PLUGINS: "accidents", "ACCIDENT": str(self.due)}
        interrupted = False
        for _ in range(5):
            before = self.made_once()
            ended = run_snakemake(TABLE, *options, env=env)
            self.check(before)
            if ended.returncode == 0:
                if not interrupted:
                    break
                # With a run's description left incomplete by a kill, Snakemake 9.27 may make only
                # that and end well: the table lacks runs until the next call.
                interrupted = False
                continue
            interrupted = True
            assert not self.due.exists(), f"{self.done}: {ended.stderr[-3000:]}"
            run_snakemake("--unlock", *options, env=env)
        else:
            raise AssertionError(f"{self.done}: {ended.stderr[-3000:]}")
        self.due.unlink(missing_ok=True)
        self.check_table()
        self.finished |= self.artifacts()

    def _of_runs(self, names: tuple[str, ...]) -> dict[str, Path]:
        runs = self.folder / "results/tiny/runs"
        found = (path for name in names for path in runs.glob(f"*/*/*/{name}"))
        return {str(path.relative_to(self.folder)): path for path in found}

    def artifacts(self) -> dict[str, str]:
        """What is finished here: path -> digest."""
        return {name: file_digest(path) for name, path in self._of_runs(FINISHED).items()}

    def made_once(self) -> dict[str, int]:
        """Path -> number of the file: one that is made again has another."""
        return {name: path.stat().st_ino for name, path in self._of_runs(MADE_ONCE).items()}

    def check(self, before: dict[str, int]) -> None:
        """Nothing that was finished is gone, changed, or made again since `before`."""
        now = self.artifacts()
        lost = {path for path, digest in self.finished.items() if now.get(path) != digest}
        assert not lost, f"{self.done}: {lost} lost"
        again = {
            path for path, number in self.made_once().items() if before.get(path, number) != number
        }
        assert not again, f"{self.done}: {again} made again"

    def check_table(self) -> None:
        """Every row is what its run's weights and its data set's images give."""
        runs = Plan(self.config).runs
        table = pd.read_csv(self.folder / TABLE)
        rows = table[table["metric"] == "fid"].set_index("run")["value"]
        assert sorted(rows.index) == sorted(run.digest for run in runs), self.done
        for run in runs:
            folder = self.folder / "results/tiny" / run.folder
            weights = folder / "weights.safetensors"
            if not weights.exists():
                continue  # deleted, and the table needs it no more
            key = file_digest(weights), run.store
            if key not in KNOWN:
                KNOWN[key] = distance(folder, run.dataset)
            assert rows[run.digest] == pytest.approx(KNOWN[key], rel=1e-4), self.done

    # What users do ------------------------------------------------------------------------------

    def act(self) -> None:
        """One thing, drawn at random."""
        action = self.random.choice(ACTIONS)
        self.done.append(action.__name__)
        action(self)

    def _some(self, pattern: str) -> Path | None:
        found = sorted(self.folder.glob(pattern))
        return self.random.choice(found) if found else None

    def delete_data(self) -> None:
        target = self._some(self.random.choice(("data", "data/*", "data/*/*")))
        if target is not None:
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    def touch(self) -> None:
        for _ in range(3):
            target = self._some("*/**/*.*")
            if target is not None and target.is_file():
                target.touch()

    def age(self) -> None:
        """As a copy to a file system without times, or a restored backup, would."""
        target = self._some("*/**/*.*")
        if target is not None and target.is_file():
            os.utime(target, (1e9, 1e9))

    def move(self) -> None:
        """The whole folder to another path, with its history of jobs or without."""
        place = self.folder.with_name(f"{self.folder.name}x")
        if self.random.random() < 0.5:
            self.folder.rename(place)
        else:
            keep = None if self.random.random() < 0.5 else shutil.ignore_patterns(".snakemake")
            shutil.copytree(self.folder, place, ignore=keep, copy_function=shutil.copy)
            shutil.rmtree(self.folder)
        self.folder = place

    def add_seed(self) -> None:
        self.config["seeds"] = [*self.config["seeds"], max(self.config["seeds"]) + 1][-2:]

    def remove_seed(self) -> None:
        self.config["seeds"] = self.config["seeds"][:1]

    def change_models(self) -> None:
        names = self.random.choice((["other"], ["fpa", "other"]))
        self.config["models"] = {name: models()[name] for name in names}

    def change_evaluation(self) -> None:
        """Another digest of scores, as a raised version of a stage gives."""
        self.config["evaluation"]["kid_subsets"] = self.random.choice((5, 6))

    def change_images(self) -> None:
        self.config["datasets"]["digits"]["resolution"] = self.random.choice((16, 32))

    def drop_table(self) -> None:
        shutil.rmtree(self.folder / "results/tiny/tables", ignore_errors=True)

    def lose_results_of_a_run(self) -> None:
        """Snakemake does that when a job fails that had done its work: it is no request."""
        target = self._some("results/tiny/runs/*/*/*/state/finished/train.json")
        if target is not None:
            (target.parents[2] / "train.json").unlink(missing_ok=True)

    def ask_for_a_run_again(self) -> None:
        target = self._some("results/tiny/runs/*/*/*")
        if target is not None:
            shutil.rmtree(target)
            gone = str(target.relative_to(self.folder))
            self.finished = {k: v for k, v in self.finished.items() if not k.startswith(gone)}

    def accident(self) -> None:
        """The next job of a rule fails or everything dies, before or after its work (accidents.py)."""
        verb = self.random.choice(("prepare", "train", "train", "sample", "features", "score"))
        moment = self.random.choice(("before", "after"))
        kind = self.random.choice(("fail", "kill"))
        self.due.write_text(f"{verb} {moment} {kind}")
        self.done.append(f"({verb} {moment} {kind})")


ACTIONS = (
    *(Users.delete_data, Users.delete_data, Users.touch, Users.age, Users.move),
    *(Users.add_seed, Users.add_seed, Users.remove_seed, Users.change_models),
    *(Users.change_evaluation, Users.change_images, Users.drop_table),
    *(Users.lose_results_of_a_run, Users.ask_for_a_run_again, Users.accident, Users.accident),
)


def sequence(start: Path, folder: Path, seed: int, actions: int) -> list[str]:
    """Some actions with a call of Snakemake behind each, in a copy of a finished directory."""
    shutil.copytree(start, folder / "work", copy_function=shutil.copy2)
    users = Users(folder / "work", seed)
    users.finished = users.artifacts()
    for _ in range(actions):
        users.act()
        if users.random.random() < 0.4:
            users.act()
        users.snakemake()
    shutil.rmtree(users.folder)
    return users.done
