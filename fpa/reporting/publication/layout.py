"""What a published folder holds, and how its files are listed and made again."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.reporting.bundle import unpack
from fpa.reporting.make import make_report

FORMAT = 1
ABOUT = "publication.json"
"""What was run where, for programs."""
README, DATASHEET, CITATION, CHECKSUMS = "README.md", "DATASHEET.md", "CITATION.cff", "SHA256SUMS"
MODELS = "models"
REMADE = ("tables", "figures", artifacts.REPORT)
"""What the bundle gives again."""
DRAWN_BY = ("matplotlib", "seaborn", "jinja2")
"""Libraries that tables, figures and report depend on, beside those that every artifact names."""


def versions() -> dict[str, str]:
    """What makes tables, figures and report here."""
    return {**provenance.versions(), **{name: metadata.version(name) for name in DRAWN_BY}}


def model_folder(run: dict) -> str:
    """The folder of a run's exported generator."""
    return f"{MODELS}/{run['dataset']}-{run['model']}-seed{run['seed']}-{run['digest'][:10]}"


def files(folder: Path) -> Iterator[str]:
    """Every file below a folder, sorted, the list of checksums left out."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (path.is_file() or path.is_symlink()) and name != CHECKSUMS:
            yield name


def checksums(folder: Path) -> str:
    """The list of checksums, as `sha256sum -c` reads it."""
    return "".join(f"{file_digest(folder / name)}  {name}\n" for name in files(folder))


def read_checksums(folder: Path) -> dict[str, str]:
    """Digest by file, as the list says; UserError when there is none that can be used."""
    path = folder / CHECKSUMS
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path}; `python -m fpa publish` makes such a folder"
        ) from error
    found = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        pure = PurePosixPath(name)
        if len(digest) != 64 or str(pure) != name or pure.is_absolute() or ".." in pure.parts:
            raise UserError(f"{path} has a line that is no checksum of a file in it: {line!a}")
        found[name] = digest
    return found


def remake(bundle: Path, scratch: Path) -> Path:
    """Tables, figures and report from a bundle alone; the results folder, in `scratch`."""
    results = unpack(bundle, scratch / "results")
    make_report(results)
    return results
