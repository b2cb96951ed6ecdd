"""What users do around an experiment, in random order, and what must be true after each of it.

The workflow is the real one; its stages are stood in for (tests/stand_in), so that a sequence of
deletions, copies, changes and accidents takes seconds.
"""

import copy
import hashlib
import json
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import yaml
from conftest import ROOT, TINY, environment, warm
from warm import Warm

from fpa.core.files import file_digest

PAINTER = {"steps": 4, "latent_dim": 8, "hidden_size": 16, "mini_input_size": 8}
TABLE = "results/tiny/tables/scores.csv"
PROTOCOL = {"extractor": "efficientnet_lite0-32px", "n_fake": 32}
FINISHED = ("weights.safetensors", "history.csv", "train.json")


def configuration() -> dict:
    """Two small painters with one seed."""
    config = copy.deepcopy(TINY)
    model = config["models"]["fpa"]
    other = {**model, "settings": {**model["settings"], "painter": {**PAINTER, "steps": 5}}}
    config["models"] = {"fpa": model, "other": other}
    config["seeds"] = [0]
    config["evaluation"] |= {"protocols": {"small": PROTOCOL}, "metrics": ["fid", "kid"]}
    return config


class Users:
    """A working directory, its configuration, and what has been finished in it."""

    def __init__(self, folder: Path, seed: int, server: Warm | None = None) -> None:
        self.folder, self.random, self.server = folder, random.Random(seed), server or warm()
        self.config = configuration()
        self.finished: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.done: list[str] = []
        self.stand_in = folder.with_name(f"{folder.name}-stand-in")
        self.stand_in.mkdir(exist_ok=True)

    # What Snakemake is told, and what is checked behind it ---------------------------------------

    def snakemake(self, *words: str) -> None:
        """The workflow to its table; with an accident, again until it is there."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))
        places = [str(ROOT / "tests" / "stand_in"), str(ROOT), str(ROOT / "tests")]
        env = {
            **environment(),
            "PYTHONPATH": os.pathsep.join(places),
            "STAND_IN": str(self.stand_in),
        }
        options = ["--cores", "2", "--directory", str(self.folder), "--latency-wait", "0"]
        config = ["--configfile", str(self.folder / "config.yaml")]
        interrupted = False
        for attempt in range(5):
            call = [TABLE, *options, *words, *config]
            accident = self.stand_in / "accident"
            ended = self.server(
                call, ROOT, env, timeout=120, pid_file=self.stand_in / "snakemake.pid"
            )
            self.check()
            if ended.returncode == 0:
                if not interrupted:
                    break
                # With a run's description left incomplete by a kill, Snakemake 9.27 may make only
                # that and end well: the table lacks runs until the next call.
                interrupted = False
                continue
            interrupted = True
            assert not accident.exists(), f"{self.done}: {ended.stderr[-3000:]}"
            assert attempt < 4, f"{self.done}: {ended.stderr[-3000:]}"
            # Jobs of a killed Snakemake may still be ending.
            time.sleep(0.2)
            self.server(["--unlock", *options, *config], ROOT, env, timeout=120)
        accident.unlink(missing_ok=True)
        self.check()
        self.check_table()
        self.finished |= self.artifacts()

    def artifacts(self) -> dict[str, str]:
        """Weights, histories and scores that are there: path -> digest."""
        runs = self.folder / "results/tiny/runs"
        found = [*runs.glob("*/*/*/weights.safetensors"), *runs.glob("*/*/*/history.csv")]
        found += runs.glob("*/*/*/score-*.json")
        return {str(path.relative_to(self.folder)): file_digest(path) for path in found}

    def check(self) -> None:
        """Nothing that was finished is gone, changed, or made twice."""
        now = self.artifacts()
        lost = {path for path, digest in self.finished.items() if now.get(path) != digest}
        assert not lost, f"{self.done}: {lost}"
        trained = self.stand_in / "trained"
        lines = trained.read_text().splitlines() if trained.exists() else []
        for run, times in Counter(line.split()[0] for line in lines).items():
            assert times <= 1 + self.asked[run], f"{self.done}: {run} was trained {times} times"

    def check_table(self) -> None:
        """Every row is what its run's weights and its data set's images give."""
        rows = dict(line.rsplit(" ", 1) for line in (self.folder / TABLE).read_text().splitlines())
        assert len(rows) == len(self.config["seeds"]) * len(self.config["models"]), self.done
        for path, value in rows.items():
            weights = (self.folder / path).parent / "weights.safetensors"
            if not weights.exists():
                continue
            of = self.config["datasets"]["digits"]["resolution"]
            fake = digest("features", sha(digest("samples", file_digest(weights))))
            real = digest("features", sha(digest("images", str(of))))
            assert value == digest(fake, real), f"{self.done}: {path}"

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
        models = configuration()["models"]
        names = self.random.choice((["fpa"], ["other"], ["fpa", "other"]))
        self.config["models"] = {name: models[name] for name in names}

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
        if target is not None and (target / "train.json").exists():
            self.asked[json.loads((target / "train.json").read_text())["digest"]] += 1
            shutil.rmtree(target)
            gone = str(target.relative_to(self.folder))
            self.finished = {k: v for k, v in self.finished.items() if not k.startswith(gone)}

    def accident(self) -> None:
        """The next job of a rule fails or Snakemake is killed, before or after the work."""
        verb = self.random.choice(("prepare", "train", "train", "sample", "features", "score"))
        moment = self.random.choice(("before", "after"))
        kind = self.random.choice(("fail", "kill"))
        (self.stand_in / "accident").write_text(f"{verb} {moment} {kind}")
        self.done.append(f"({verb} {moment} {kind})")


ACTIONS = (
    *(Users.delete_data, Users.delete_data, Users.touch, Users.age, Users.move),
    *(Users.add_seed, Users.add_seed, Users.remove_seed, Users.change_models),
    *(Users.change_evaluation, Users.change_images, Users.drop_table),
    *(Users.lose_results_of_a_run, Users.ask_for_a_run_again, Users.accident, Users.accident),
)


def digest(*parts: str) -> str:
    return sha("\n".join(parts))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sequence(
    start: Path, folder: Path, seed: int, actions: int, server: Warm | None = None
) -> list[str]:
    """Some actions with a call of Snakemake behind each, in a copy of a finished directory."""
    shutil.copytree(start, folder / "work", copy_function=shutil.copy2)
    users = Users(folder / "work", seed, server)
    users.finished = users.artifacts()
    for _ in range(actions):
        users.act()
        if users.random.random() < 0.4:
            users.act()
        users.snakemake()
    shutil.rmtree(users.folder)
    return users.done
