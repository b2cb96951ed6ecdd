"""CITATION.cff of a set of results (Citation File Format 1.2.0)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

import fpa
from fpa.core.errors import UserError

NOBODY = "authors not named"
PAPER = {
    "type": "conference-paper",
    "title": "Images as Weight Matrices: Sequential Image Generation Through Synaptic Learning Rules",
    "authors": [
        {"given-names": "Kazuki", "family-names": "Irie"},
        {"given-names": "Jürgen", "family-names": "Schmidhuber"},
    ],
    "year": 2023,
    "conference": {"name": "International Conference on Learning Representations (ICLR)"},
    "identifiers": [{"type": "other", "value": "arXiv:2210.06184"}],
}


def check_licence(licence: str | None) -> None:
    """UserError unless a licence looks like an SPDX identifier."""
    if licence is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", licence):
        raise UserError(
            f"expected a licence's SPDX identifier, as in CC-BY-4.0 or MIT, found '{licence}'"
        )


def author(name: str) -> dict[str, str]:
    """An author as CFF has it: `Family, Given` is a person, anything else a group."""
    family, comma, given = (part.strip() for part in name.partition(","))
    return {"family-names": family, "given-names": given} if comma and given else {"name": family}


def citation(
    experiment: str,
    authors: Sequence[str],
    licence: str | None,
    publication: Mapping[str, Any],
    digests: Mapping[str, str],
) -> str:
    """The file's text. digests: SHA-256 by file, of what a citation has to be able to name."""
    commit = publication["versions"].get("commit")
    trained = sorted(
        {row["versions"].get("commit", "not recorded") for row in publication["trainings"]}
    )
    about: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them and the paper that they are about.",
        "type": "dataset",
        "title": f"Results of {experiment}: Fast Weight Painters, reproduced and measured",
        "abstract": "Scores, tables, figures and models of an experiment, with what they are made from "
        f"(trainings: {len(publication['trainings'])}). Made with fpa {fpa.__version__}; trained from the commits: {', '.join(trained)}.",
        "authors": [author(name) for name in authors] or [{"name": NOBODY}],
        "version": fpa.__version__,
        **({"commit": commit} if commit else {}),
        **({"license": licence} if licence else {}),
        "identifiers": [
            {"type": "other", "value": f"sha256:{digest}", "description": name}
            for name, digest in digests.items()
        ],
        "references": [PAPER],
    }
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
