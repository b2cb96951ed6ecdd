"""The table of the models: size and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fpa.core.errors import cpu_threads
from fpa.core.lazy import pd
from fpa.core.provenance import processor
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import sentence
from fpa.reporting.tables.tidy import Entry


def models_frame(costs: Sequence[Entry]) -> pd.DataFrame:
    """One row for each data set and model: size, multiply-adds for one image, images per second."""
    places = [cost["hardware"] for cost in costs]
    return (
        pd.DataFrame(costs)
        .assign(
            device=[processor(place) for place in places],
            threads=[place["threads"] for place in places],
        )
        .drop(columns=["hardware", "versions", "stages"], errors="ignore")
    )


def models_layout(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The same as text, three figures each: one row for each model (and data set, if several)."""

    def short(value: float) -> str:
        # Three figures, but never a power of ten.
        return "—" if pd.isna(value) else f"{float(f'{value:.3g}'):,.10g}"

    def millions(value: float) -> str:
        return short(value / 1e6)

    names = [labels.get(m, m) for m in frame["model"]]
    if frame["dataset"].nunique() > 1:
        names = [f"{n}, {d}" for n, d in zip(names, frame["dataset"], strict=True)]
    return pd.DataFrame(
        {
            "G parameters (M)": frame["generator_parameters"].map(millions),
            "D parameters (M)": frame["discriminator_parameters"].map(millions),
            "G multiply-adds (M)": frame["generator_multiply_adds"].map(millions),
            "D multiply-adds (M)": frame["discriminator_multiply_adds"].map(millions),
            "training images/s": frame["training_images_per_second"].map(short),
            "sampling images/s": frame["sampling_images_per_second"].map(short),
            "budget (kimg)": frame["kimg"].map(short),
        }
    ).set_index(pd.Index(names, name="Model"))


def models_caption(frame: pd.DataFrame, experiment: str) -> str:
    """What the numbers are and where they were measured."""
    places = " and ".join(
        f"{device}, {cpu_threads(threads)}"
        for device, threads in frame[["device", "threads"]]
        .drop_duplicates()
        .itertuples(index=False)
    )
    sizes = ", ".join(map(str, frame["batch_size"].unique()))
    text = (
        "Size and cost of the models: parameters (frozen ones included), multiply-adds of "
        "convolutions and matrix products for one image, and images per second of training steps "
        f"(without data, checkpoints and quick scores) and of sampling, batch size {sizes}, "
        f"measured on {places}"
    )
    return sentence([text], experiment)


def build(request: Request) -> Built:
    """The table of models."""
    frame = models_frame(request.entries)
    shown = models_layout(frame, request.labels)
    return frame, shown, models_caption(frame, request.experiment)
