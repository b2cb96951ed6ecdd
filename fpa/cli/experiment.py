"""Verbs about an experiment's configuration."""

import argparse
import json
from collections.abc import Iterator

from pydantic import BaseModel

from fpa.cli.options import COUNT, number, option, refuse, verb
from fpa.core.progress import log
from fpa.experiment.config import read_config
from fpa.experiment.plan import Plan
from fpa.models.loading import find_model
from fpa.runs.folder import RunFolder
from fpa.workflow import cost_estimate as costs
from fpa.workflow.checks import check_before_start, not_measured
from fpa.workflow.clean import leftovers, list_leftovers, remove

MEASURED_SECONDS = 2
"""About how long a model's speed is measured for a plan."""

SHIPPED = [
    *("fpa.models:FPA", "fpa.models:FPAUNet", "baselines.lightgan:LightGAN"),
    *("baselines.stylegan2_ada:StyleGAN2ADA", "baselines.dcgan:DCGAN"),
]


@verb(
    option("config", "the experiment (config.yaml)", nargs="?", default="config.yaml"),
    option("--write", "write each run's run.json below the results folder", action="store_true"),
    option("--disk", "show the disk space that the experiment takes", action="store_true"),
    option("--cost", "show steps, hours and energy of what is to be trained", action="store_true"),
    option(
        "--rate",
        "speed of training, for --cost; without it, that of measured runs",
        nargs="+",
        default=[],
        metavar="[MODEL=]IMAGES/S",
    ),
    option("--measure", "measure unknown speeds here, some seconds a model", action="store_true"),
    option("--watts", "power that one training takes, for --cost", type=number),
    option("--together", "runs at a time, for --cost and --disk (1)", type=COUNT),
)
def plan(options: argparse.Namespace) -> None:
    if not options.cost:
        refuse(options, "is for --cost", "--rate", "--measure", "--watts")
    if not (options.cost or options.disk):
        refuse(options, "is for --cost and --disk", "--together")
    together = options.together or 1
    experiment = Plan(read_config(options.config))
    rates = costs.read_rates(options.rate, experiment)
    check_before_start(experiment)
    for line in not_measured(experiment):
        log.info("%s", line)
    if options.write:
        experiment.write_runs()
    for run in experiment.runs:
        folder = experiment.results / run.folder
        state = "trained" if RunFolder(folder).weights.exists() else "to train"
        print(f"{folder}  {run.training.kimg:g} kimg, {run.steps} steps, {state}")
    if options.cost:
        found = list(costs.efforts(experiment, rates, MEASURED_SECONDS if options.measure else 0))
        hours = costs.shortest_hours(experiment, found, together)
        runtime = experiment.config.runtime
        gpus = 0 if runtime.device == "cpu" else runtime.gpus
        for line in costs.list_cost(found, together, hours, gpus, options.watts):
            print(line)
    if options.disk:
        for line in costs.list_disk(costs.disk_usage(experiment), together):
            print(line)


@verb(
    option("configs", "every experiment that is still needed", nargs="*", default=["config.yaml"]),
    option("--yes", "delete what is listed", action="store_true"),
)
def clean(options: argparse.Namespace) -> None:
    found = list(leftovers([Plan(read_config(path)) for path in options.configs]))
    for line in list_leftovers(found, options.yes):
        print(line)
    if options.yes:
        for leftover in found:
            remove(leftover)


@verb(option("classes", "package.module:Class", nargs="*", default=SHIPPED))
def models(options: argparse.Namespace) -> None:
    for name in options.classes:
        for line in list_settings(name):
            print(line)


def list_settings(name: str) -> Iterator[str]:
    """The settings of the model `package.module:Class`, with defaults and descriptions."""
    settings = find_model(name, "class").settings
    yield name
    yield from _settings(settings, "  ")


def _settings(settings: type[BaseModel], indent: str) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"{indent}{name}:"
            yield from _settings(kind, indent + "  ")
        else:
            default = None if field.is_required() else field.get_default()
            comment = f"  # {' '.join(field.description.split())}" if field.description else ""
            yield f"{indent}{name}: {json.dumps(default)}{comment}"
