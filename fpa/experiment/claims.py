"""What a paper claims, as data: which models should have the better score.

A file of claims is a YAML list. Each entry names two groups of models of a configuration; a claim
whose models are not all in an experiment is left out there. `experiments/claims.yaml` has the paper's.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fpa.core.errors import UserError
from fpa.evaluation.metrics import METRICS
from fpa.experiment.yaml_safety import read_yaml

REPOSITORY = Path(__file__).parent.parent.parent


class Claim(BaseModel):
    """One comparison that somebody states."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    says: str = Field(min_length=1)
    """The claim in words, as a sentence without its full stop."""
    source: str
    better: tuple[str, ...] = Field(min_length=1)
    """Names of models, each of which should be better than each of `than`."""
    than: tuple[str, ...] = Field(min_length=1)
    metric: str = "fid"
    paired: bool = False
    """Whether trainings of one seed belong together: one starts from the other."""
    alike: float | None = Field(default=None, gt=0, lt=1)
    """Instead: that the means differ by less than this share of `than`'s."""

    @model_validator(mode="after")
    def _of_known_parts(self) -> "Claim":
        METRICS.find(self.metric, "metric")
        if set(self.better) & set(self.than):
            raise ValueError("no model can be better than itself")
        return self

    @property
    def models(self) -> set[str]:
        return {*self.better, *self.than}


def read_claims(path: str | Path) -> list[Claim]:
    """The claims in a file; UserError names the first thing wrong with it.

    A relative path that is not in the working directory is looked for beside this package, so that
    `experiments/claims.yaml` is found from everywhere.
    """
    beside = REPOSITORY / path
    found = read_yaml(path if Path(path).exists() or not beside.exists() else beside, "the claims")
    return check_claims(found, str(path))


def check_claims(found: Any, where: str) -> list[Claim]:
    """Claims from plain data; UserError with `where` they stand and the first thing wrong."""
    if not isinstance(found, list):
        raise UserError(f"{where} holds no claims (expected a list of them)")
    claims = []
    for number, entry in enumerate(found, start=1):
        name = entry.get("name", number) if isinstance(entry, dict) else number
        try:
            claims.append(Claim.model_validate(entry))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(
                f"{where}, claim {name}: {place + ': ' if place else ''}{message}"
            ) from error
        except UserError as error:
            raise UserError(f"{where}, claim {name}: {error}") from error
    names = [claim.name for claim in claims]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{where} has two claims called {twice}")
    return claims


def about_models(claims: Collection[Claim], models: Collection[str]) -> list[Claim]:
    """Those that an experiment with these models can judge."""
    return [claim for claim in claims if claim.models <= set(models)]
