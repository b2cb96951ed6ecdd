"""Which scores may rank a model: none in the features of a network that it trains with."""

from collections.abc import Iterable

from fpa.core.errors import UserError
from fpa.evaluation.extractors import EXTRACTORS, find_extractor
from fpa.evaluation.protocols import Protocol
from fpa.models.loading import find_model
from fpa.runs.run import Run


def check_ranking(run: Run, protocols: Iterable[Protocol]) -> None:
    """UserError where a run, or one that it starts from, trains with a protocol's network.

    Such a model is good at what the score looks at, whatever people see.
    """
    part: Run | None = run
    while part is not None:
        name = part.model.name
        for network in find_model(part.model.class_, f"models.{name}.class").trains_with:
            EXTRACTORS.find(network, f"{part.model.class_}: trains_with")
            for protocol in protocols:
                scored, _ = find_extractor(protocol.extractor, protocol.name)
                if network in (scored.name, scored.built_on):
                    raise UserError(
                        f"models.{run.model.name}: {part.model.class_} trains with {network}, so "
                        f"protocol {protocol.name}, which scores by it, cannot rank it; "
                        "choose protocols with other networks"
                    )
        part = part.base
