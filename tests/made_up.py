"""A finished experiment's results folder with made-up arrays: nothing is trained for it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from fpa.core import artifacts
from fpa.evaluation.metrics import drawn_metrics
from fpa.evaluation.scores import Score
from fpa.evaluation.trace import statistics
from fpa.experiment.experiment import Experiment, RunEntry
from fpa.experiment.plan import Plan
from fpa.reporting.figures import Input, figures
from fpa.reporting.make import make_tables
from fpa.reporting.player import live_files
from fpa.reporting.results import Results, RunResults, missing_score
from fpa.reporting.tables import Made, build
from fpa.reporting.tables.scores import tidy_scores
from fpa.runs.folder import Cost, TrainingSummary


def experiment(
    datasets: tuple[str, ...] = ("digits",),
    models: tuple[str, ...] = ("fpa", "fpa_unet", "dcgan"),
    seeds: tuple[int, ...] = (0,),
    **more: Any,
) -> dict[str, Any]:
    """A configuration; models that begin with 'fpa' paint, those that end with '_unet' refine."""

    def model(name: str) -> dict[str, Any]:
        if name.endswith("_unet"):
            return {"class": "fpa.models:FPAUNet", "base": "fpa", "label": "FPA + U-Net"}
        if name.startswith("fpa"):
            steps = int(name.partition("_")[2] or 6)
            return {"class": "fpa.models:FPA", "settings": {"painter": {"steps": steps}}}
        return {"class": "baselines.dcgan:DCGAN", "label": name.upper()}

    return {
        "experiment": "made-up",
        "seeds": list(seeds),
        "datasets": {
            name: {"source": "digits", "resolution": 32, "channels": 3} for name in datasets
        },
        "models": {name: model(name) for name in models},
        "evaluation": {
            "protocols": {"tiny": {"extractor": "efficientnet_lite0-32px", "n_fake": 9}}
        },
        "figures": {"grid": 9, "paintings": 2, "statistics": 5, "neighbours": 4, "frames": 5},
        **more,
    }


def trace(
    paintings: int, channels: int, steps: int, size: int = 16, seed: int = 0, **more: Any
) -> dict[str, np.ndarray]:
    """A painting trace whose parts fit together as a painter's do."""
    random = np.random.default_rng(seed)
    shape = (paintings, channels, steps, size)
    keys = np.exp(2 * random.normal(size=shape)).astype(np.float32)
    keys /= keys.sum(axis=-1, keepdims=True)
    values = random.normal(size=shape).astype(np.float32)
    rates = random.uniform(0.1, 1, size=(*shape[:3], 1)).astype(np.float32)
    left = rates * values
    painted = np.tanh(np.einsum("ncti,nctj->ncij", left, keys))
    return {
        "left": left,
        "right": keys,
        "values": values,
        "rates": rates,
        "painted": painted,
        "image": painted,
        "tanh": np.array(True),
        **more,
    }


def fill(folder: Path, config: dict[str, Any]) -> tuple[Experiment, dict, Path]:
    """Every artifact that figures and report read; the experiment, the figures, the folder."""
    about = Plan({**config, "results": str(folder / "results")}).experiment
    results = folder / "results"
    specs = figures(about)
    about.write(results)
    random = np.random.default_rng(0)
    for spec in specs.values():
        for part in spec.inputs:
            path = results / part.path
            if not path.exists() and part.dataset:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, about, part, random)
    for path in live_files(about, specs).values():
        left_out = {"about": json.dumps({"left_out": "it is made up"})}
        save_file({}, results / path, metadata=left_out)
    (protocol,) = about.protocols
    for i, run in enumerate(about.runs):
        folder = results / run.folder
        (folder / artifacts.SUMMARY).write_text(json.dumps(_summary(run)))
        score(run, about, i).write(folder / protocol.score_file)
        if run.seed == about.first_seed:
            (folder / artifacts.COST).write_text(json.dumps(_cost(run, i)))
    make_tables(about, results)
    return about, specs, results


def _cost(run: RunEntry, i: int) -> dict[str, Any]:
    """A run's cost file; models are of different sizes and speeds."""
    return {
        **{key: getattr(run, key) for key in ("dataset", "resolution", "model", "kimg")},
        "batch_size": 8,
        "generator_parameters": 100_000 * (1 + i % 7),
        "discriminator_parameters": 50_000,
        "generator_multiply_adds": 1_000_000,
        "discriminator_multiply_adds": 2_000_000,
        "training_images_per_second": 100 / (1 + i % 5),
        "sampling_images_per_second": 1000,
        "hardware": {"cpu": "a processor", "threads": 1},
    }


def scores(about: Experiment) -> pd.DataFrame:
    """scores.csv of an experiment in which every run has its scores."""
    found = [score(run, about, i) for i, run in enumerate(about.runs)]
    return tidy_scores(Results(about.name, scores=found))


def results_of(entries: Sequence[dict[str, Any]], **more: Any) -> Results:
    """What tables are made from, of the contents of score files."""
    return Results("test", scores=[Score.model_validate(entry) for entry in entries], **more)


def entry(
    model: str, seed: int, values: Mapping[str, Any], dataset: str = "digits", **more: Any
) -> dict[str, Any]:
    """The contents of a score file; values: of metrics, or pairs of a value and its error."""
    pairs = {name: v if isinstance(v, tuple) else (v, None) for name, v in values.items()}
    return {
        **{"dataset": dataset, "resolution": 16, "model": model, "seed": seed, "status": "ok"},
        "run": f"{model}{seed}".ljust(64, "0"),
        "metrics": {
            name: {"value": value, "error": error} for name, (value, error) in pairs.items()
        },
        **{"protocol": "quick", "extractor": "efficientnet_lite0-96px", "resize": "clean"},
        **{
            "format": "array",
            "weights_sha256": "",
            "real_sha256": "",
            "n_real": 1797,
            "n_fake": 2000,
        },
        **{
            "kimg": 100.0,
            "checkpoint": "best",
            "checkpoint_kimg": 90.0,
            "generator_parameters": 12345,
        },
        **more,
    }


def run_results(
    model: str,
    seed: int,
    scores: dict[str, dict[str, float]],
    *,
    dataset: str = "digits",
    kimg: float = 30,
    not_finite: int = 0,
    **more: Any,
) -> RunResults:
    """What a run left: the values of its scores by protocol, and what else is given."""
    of_run = {"dataset": dataset, "resolution": 16, "model": model, "seed": seed}
    digest = f"{model}{seed}"
    found = {
        protocol: Score.model_validate(
            {
                **of_run,
                "run": digest,
                "status": "ok",
                "protocol": protocol,
                "extractor": "e",
                "metrics": {name: {"value": value} for name, value in metrics.items()},
                "not_finite": not_finite,
            }
        )
        for protocol, metrics in scores.items()
    }
    run = RunEntry(**of_run, folder="", digest=digest, kimg=kimg, painter_steps=None)
    if more.get("summary") is not None:
        trained = {"model": {"class": "fpa.models:FPA", "settings": {}}}
        more["summary"] = TrainingSummary(digest=digest, **{"run": trained, **more["summary"]})
    if more.get("cost") is not None:
        more["cost"] = Cost(**more["cost"])
    return RunResults(run, scores=found, **more)


def table(kind: str, entries: Sequence[dict[str, Any]], **more: Any) -> Made:
    """A table of the contents of score files."""
    return build(kind, results_of(entries, **more))


def score(run: RunEntry, about: Experiment, seed: int) -> Score:
    """A run's score."""
    random = np.random.default_rng(seed)
    (protocol,) = about.protocols
    values = {
        name: {"value": random.uniform(20, 150) if name == "fid" else random.uniform(0.01, 1)}
        for name in drawn_metrics()
    }
    content = {
        **missing_score(run, protocol, "best", "ok").as_json(),
        "metrics": {
            name: {**value, "error": None if name == "fid" else 0.01}
            for name, value in values.items()
        },
        "n_real": 100,
        "kimg": run.kimg,
        "checkpoint_kimg": run.kimg,
        "generator_parameters": 1234,
    }
    return Score.model_validate(content)


def _write(path: Path, about: Experiment, part: Input, random: np.random.Generator) -> None:
    def images(*shape: int) -> np.ndarray:
        return random.integers(0, 256, (*shape, 3, 16, 16), dtype=np.uint8)

    steps = next((r.painter_steps for r in about.runs if r.model == part.model), None) or 6
    if path.name.startswith("paintings"):
        made = trace(2, 3, steps)
        if part.model.endswith("_unet"):
            made["image"] = made["painted"] / 2
        np.savez(path, **made)
    elif path.name.startswith("statistics"):
        np.savez(path, **statistics(trace(5, 3, steps, seed=random.integers(1000))))
    elif path.name.startswith("interpolations"):
        np.save(path, images(3, 5))
    elif path.name.startswith("neighbours"):
        np.savez(
            path,
            samples=images(4),
            nearest=images(4, 2),
            distance=random.gamma(20, size=9),
            real_distance=random.gamma(18, size=50),
        )
    elif path.name == "snapshots.npz":
        steps_shown = np.arange(3)
        np.savez(
            path,
            step=steps_shown,
            kimg=steps_shown / 1,
            fid=90 / (1 + steps_shown),
            images=images(3, 8),
        )
    elif path.name == "history.csv":
        kimg = np.arange(8.0)
        columns = {
            "step": kimg,
            "kimg": kimg,
            "fid": 100 / (1 + kimg) + random.uniform(0, 9, 8),
            "precision": 0.1 * kimg + random.uniform(0, 0.1, 8),
            "recall": 0.05 * kimg + random.uniform(0, 0.1, 8),
            "d_loss": kimg,
            "g_loss": -kimg,
            "reconstruction": 1 / (1 + kimg),
        }
        if "_unet" in str(path):
            first = np.where(kimg == 0, 1, np.nan)
            before = {"fid": 30.0, "precision": 0.5, "recall": 0.3}
            columns |= {f"unrefined_{name}": value * first for name, value in before.items()}
        pd.DataFrame(columns).to_csv(path, index=False)
    else:
        np.save(path, images(9))


def _summary(run: RunEntry) -> dict[str, Any]:
    return {
        "digest": run.digest,
        "images_sha256": "ab" * 32,
        "steps": 10,
        "kimg": run.kimg,
        "parameters": {"ema": 1234},
        "seconds_of_last_attempt": 90.0,
        "hardware": {"device": "cpu", "cpu": "A processor", "cpu_cores": 2, "threads": 1},
        "versions": {"fpa": "0.1.0", "torch": "2.15.0"},
    }
