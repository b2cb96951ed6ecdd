"""Which figures an experiment has: what each shows, of which artifacts, and its caption.

Everything is derived from the experiment's description (`fpa.experiment.plan.Experiment.describe`), which
lies as `experiment.json` in the results folder. Inputs are paths below that folder: it can be
moved to another machine and still be drawn and read there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Description = Mapping[str, Any]

SCALING = (
    "Every picture is scaled to the Frobenius norm of the finished image (before the tanh, over "
    "all channels) and then goes through the tanh where the image does."
)


@dataclass(frozen=True)
class Input:
    """An artifact that a figure shows, and whose it is."""

    path: str
    dataset: str = ""
    model: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Spec:
    """One figure: everything that it depends on, besides the contents of its inputs."""

    name: str
    """File name without its ending."""
    kind: str
    """Which function draws it (fpa.reporting.drawing)."""
    category: str
    labels: Mapping[str, str]
    """What it shows, by aspect: figure, data set, model."""
    caption: str
    inputs: tuple[Input, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    """Every model of the experiment, name -> label: colours go by this order."""
    endings: tuple[str, ...] = ("png", "pdf")

    @property
    def files(self) -> list[str]:
        """Its files, below the results folder."""
        return [f"figures/{self.name}.{ending}" for ending in self.endings]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def paintings_file(config: Mapping[str, Any]) -> str:
    """The strokes of a few paintings, in a run's folder."""
    return f"paintings-{config['evaluation']['checkpoint']}-{config['figures']['paintings']}.npz"


def statistics_file(config: Mapping[str, Any]) -> str:
    """Step statistics of many paintings, in a run's folder."""
    return f"strokes-{config['evaluation']['checkpoint']}-{config['figures']['statistics']}.npz"


def interpolations_file(config: Mapping[str, Any]) -> str:
    """Images between latents, in a run's folder."""
    figures, checkpoint = config["figures"], config["evaluation"]["checkpoint"]
    return f"interpolations-{checkpoint}-{figures['interpolations']}x{figures['frames']}.npy"


def neighbours_file(config: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    """Nearest training images of samples, in a protocol's feature space, in a run's folder."""
    evaluation = config["evaluation"]
    sampled = f"{evaluation['checkpoint']}-seed{evaluation['seed']}"
    space = ".".join(protocol[part] for part in ("extractor", "resize", "format"))
    return f"neighbours-{config['figures']['neighbours']}-{sampled}-{space}.npz"


def real_file(config: Mapping[str, Any], store: str) -> str:
    """The first real images of a data set, below the results folder."""
    return f"real/{store}-{config['figures']['grid']}.npy"


def labels(about: Description) -> dict[str, str]:
    """Every model of the experiment, in its order: name -> name as shown."""
    return {model["name"]: model["label"] for model in about["models"]}


def figures(about: Description) -> dict[str, Spec]:
    """Every figure of an experiment by name, in the order of the report."""
    found = _Figures(about)
    everything = [
        *found.paintings(),
        *found.samples(),
        *found.scores(),
        *found.training(),
    ]
    return {spec.name: spec for spec in everything}


class _Figures:
    """The description at hand, and one generator a group of figures."""

    def __init__(self, about: Description) -> None:
        self.about = about
        self.config, self.runs = about["config"], about["runs"]
        self.shown = self.config["figures"]
        self.labels = labels(about)
        self.first_seed = self.config["seeds"][0]
        self.stores = {dataset["name"]: dataset["store"] for dataset in about["datasets"]}
        painters = [model["name"] for model in about["models"] if model["paints"]]
        bases = {name: model["base"] for name, model in self.config["models"].items()}
        # A refiner's strokes are those of the painter that it starts from.
        self.painters = [name for name in painters if bases[name] is None]
        self.refiners = [name for name in painters if bases[name] is not None]

    def _inputs(
        self,
        file: str,
        dataset: str | None = None,
        models: list[str] | None = None,
        seeds: list[int] | None = None,
    ) -> tuple[Input, ...]:
        """A file of every run, or of those on a data set, of some models, with some seeds."""
        return tuple(
            Input(f"{run['folder']}/{file}", run["dataset"], run["model"], run["seed"])
            for run in self.runs
            if (dataset is None or run["dataset"] == dataset)
            and (models is None or run["model"] in models)
            and (seeds is None or run["seed"] in seeds)
        )

    def _spec(self, kind: str, dataset: str = "", model: str = "", **more: Any) -> Spec:
        aspects = {
            "figure": more.pop("title"),
            "data set": dataset,
            "model": self.labels.get(model, ""),
        }
        return Spec(
            name=more.pop("name", "-".join(filter(None, [kind, dataset, model]))),
            kind=kind,
            labels={aspect: value for aspect, value in aspects.items() if value},
            models=self.labels,
            **more,
        )

    def _seed(self) -> str:
        return f"training seed {self.first_seed}"

    def paintings(self) -> Iterator[Spec]:
        """What shows the painters at work."""
        chosen = {"paintings": self.shown["strips"]}
        named = f"Paintings {_listed([n + 1 for n in self.shown['strips']])} of the fixed sample seed {self.config['evaluation']['seed']}"
        for dataset in self.stores:
            for model in self.painters:
                label = self.labels[model]
                inputs = self._inputs(
                    paintings_file(self.config), dataset, [model], [self.first_seed]
                )
                yield self._spec(
                    "painting",
                    dataset,
                    model,
                    title="painting step by step",
                    category="Paintings",
                    caption=f"{label} painting on {dataset} ({self._seed()}): the rank-1 update of "
                    f"each step (top) and the partial image after it (bottom). {SCALING} {named}.",
                    inputs=inputs,
                    options={
                        **chosen,
                        "steps": self.shown["strip_steps"],
                        "columns": self.shown["strip_columns"],
                    },
                )
                yield self._spec(
                    "keys",
                    dataset,
                    model,
                    title="keys and values",
                    category="Paintings",
                    caption=f"What {label} writes, and where, on {dataset} ({self._seed()}). Below "
                    "each image its keys, one row a step, along the image's columns; beside it "
                    "the values, one column a step, along the image's rows; in the corner the "
                    f"learning rate of each step. {named}, each channel by itself.",
                    inputs=inputs,
                    options=chosen,
                )
                yield self._spec(
                    "dynamics",
                    dataset,
                    model,
                    title="numbers over the steps",
                    category="Paintings",
                    caption=f"{label} on {dataset} ({self._seed()}), step by step: mean and band "
                    f"(10th to 90th percentile) of {self.shown['statistics']} paintings, and some "
                    "single ones. Norm: Frobenius norm of the rank-1 update over that of the "
                    "finished image W. Share: inner product of update and W over the squared norm "
                    "of W (all shares sum to 1). Explained: 1 - squared distance to W over squared "
                    "norm of W. Rank at float32's precision; effective rank: exp of the entropy of "
                    "the singular values; both, and the singular values over the largest one of W, "
                    "are of the partial image before the tanh, means over channels.",
                    inputs=(
                        *inputs,
                        *self._inputs(
                            statistics_file(self.config), dataset, [model], [self.first_seed]
                        ),
                    ),
                    options={**chosen, "model": model},
                )
            for model in self.refiners:
                yield self._spec(
                    "refined",
                    dataset,
                    model,
                    title="before and after the U-Net",
                    category="Paintings",
                    caption=f"Images on {dataset} as the frozen painter leaves them (top) and as "
                    f"the U-Net of {self.labels[model]} refines them (bottom); {self._seed()}, the "
                    f"first {self.shown['paintings']} of the fixed sample seed, not chosen.",
                    inputs=self._inputs(
                        paintings_file(self.config), dataset, [model], [self.first_seed]
                    ),
                )
        if self.painters:
            yield self._spec(
                "steps",
                name="steps",
                title="step statistics",
                category="Paintings",
                caption=f"Step statistics by data set: mean and band (10th to 90th percentile) of "
                f"{self.shown['statistics']} paintings of each painter ({self._seed()}). Learning "
                "rate; norm of the rank-1 update over the finished image's; explained share of the "
                "finished image; effective rank of the partial image.",
                inputs=self._inputs(
                    statistics_file(self.config), None, self.painters, [self.first_seed]
                ),
            )
            for dataset in self.stores:
                model = self.painters[0]
                yield self._spec(
                    "animation",
                    dataset,
                    model,
                    name=f"painting_{dataset}",
                    title="animated paintings",
                    category="Paintings",
                    caption=f"{self.labels[model]} painting on {dataset} ({self._seed()}), one "
                    f"frame a step: the rank-1 update (top), the partial image (bottom). {SCALING}",
                    inputs=self._inputs(
                        paintings_file(self.config), dataset, [model], [self.first_seed]
                    ),
                    endings=("gif",),
                )

    def samples(self) -> Iterator[Spec]:
        """What the models make, beside real images."""
        seeds = [self.first_seed]
        for dataset in self.stores:
            real = Input(real_file(self.config, self.stores[dataset]), dataset)
            yield self._spec(
                "samples",
                dataset,
                title="samples",
                category="Samples",
                caption=f"Uncurated samples of each model on {dataset} (the first "
                f"{self.shown['grid']} of those that are scored; {self._seed()}) beside the "
                "first real images.",
                inputs=(
                    real,
                    *self._inputs(f"samples-{self.about['samples']}.npy", dataset, None, seeds),
                ),
                options={"count": self.shown["grid"]},
            )
            yield self._spec(
                "interpolation",
                dataset,
                title="latent interpolation",
                category="Samples",
                caption=f"From latent to latent on {dataset} ({self._seed()}): spherical "
                "interpolation between two fixed latents a row, all else kept; not chosen.",
                inputs=self._inputs(interpolations_file(self.config), dataset, None, seeds),
            )
            yield self._spec(
                "neighbours",
                dataset,
                title="nearest training images",
                category="Samples",
                caption=f"Memorisation check on {dataset} ({self._seed()}): the first samples, not "
                "chosen, above their nearest training images in "
                f"{self.about['protocols'][0]['extractor']} features. Right: the distances of all "
                "samples (2,000 at most) to their nearest training image, against those between "
                "training images. A model that copies lies left of the grey curve, near zero.",
                inputs=self._inputs(
                    neighbours_file(self.config, self.about["protocols"][0]), dataset, None, seeds
                ),
            )

    def scores(self) -> Iterator[Spec]:
        """What the table says, drawn."""
        inputs = (Input("tables/scores.csv"),)
        bars = (
            "Bars: standard deviation over the seeds"
            if len(self.config["seeds"]) > 1
            else "One seed; bars: the metric's own sampling error, where it is known"
        )
        sizes = [
            f"{protocol['n_fake']:,} samples in {protocol['extractor']} features (protocol "
            f"{protocol['name']})"
            for protocol in self.about["protocols"]
        ]
        yield self._spec(
            "scores",
            title="scores",
            category="Scores",
            caption=f"Scores by model and data set: {', '.join(sizes)}. {bars}. Fréchet distance "
            "and KID: lower is better; precision and recall: higher.",
            inputs=inputs,
            options={"seeds": self.config["seeds"]},
        )
        steps = {run["model"]: run["painter_steps"] for run in self.runs if run["painter_steps"]}
        if len(set(steps.values())) > 1:
            yield self._spec(
                "ablation",
                name="ablation-steps",
                title="scores over painting steps",
                category="Scores",
                caption=f"What the number of painting steps does to the scores. {bars}.",
                inputs=inputs,
                options={"steps": steps},
            )

    def training(self) -> Iterator[Spec]:
        """What the trainings wrote down."""
        seeds = self.config["seeds"]
        band = (
            f"mean of {len(seeds)} seeds, band from the lowest to the highest"
            if len(seeds) > 1
            else "one seed, so no band"
        )
        extractor = self.config["training"]["watch_extractor"]
        for dataset in self.stores:
            inputs = self._inputs("history.csv", dataset)
            yield self._spec(
                "progress",
                dataset,
                title="Fréchet distance over training",
                category="Training",
                caption=f"Quick Fréchet distance of the EMA generator on {dataset} while it "
                f"trains ({self.config['training']['watch_images']:,} samples, {extractor} "
                f"features): {band}.",
                inputs=inputs,
                options={"extractor": extractor},
            )
            yield self._spec(
                "curves",
                dataset,
                title="losses",
                category="Training",
                caption=f"Losses on {dataset} over training, one line a run.",
                inputs=inputs,
            )


def _listed(numbers: list[int]) -> str:
    """1, 2 and 3."""
    words = [str(n) for n in numbers]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
