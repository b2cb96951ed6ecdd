"""A data set's settings, from the command line and a configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fpa.core.errors import UserError, did_you_mean
from fpa.core.registry import load_plugins
from fpa.data.sources import SOURCES, DatasetSpec, resolve, store_name
from fpa.experiment.config import check_config, check_dataset, read_config


def resolve_dataset(
    name: str, words: Sequence[str], config_path: str | None
) -> tuple[DatasetSpec, Path]:
    """A data set's complete settings and the usual folder of its prepared images.

    words: settings as KEY=VALUE, which replace those of the configuration (None for none). UserError
    for a data set or a setting that nobody knows.
    """
    config: dict[str, Any] = {"datasets": {}, "data": "data"}
    if config_path is not None:
        config = check_config(read_config(config_path))
        load_plugins(config["plugins"])
    pairs = [word.partition("=") for word in words]
    if any(not sign for _, sign, _ in pairs):
        raise UserError(f"expected settings as key=value, found {' '.join(words)}")
    settings = {key: yaml.safe_load(value) for key, _, value in pairs}
    known = config["datasets"]
    if name not in known and name not in SOURCES and "source" not in settings:
        near = did_you_mean(name, [*known, *SOURCES])
        raise UserError(f"neither {config_path} nor this project knows a data set '{name}'{near}")
    complete = check_dataset({"resolution": 64, **known.get(name, {}), **settings}, name)
    data = Path(config["data"])
    spec = resolve(name, complete, data, name)
    return spec, data / store_name(spec)
