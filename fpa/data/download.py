"""Downloads a file: retries, continues a broken download, and checks the digest."""

import os
import shutil
import time
from pathlib import Path

import requests

from fpa.core.errors import UserError
from fpa.core.files import file_digest, locked, read_json, write_json, write_text
from fpa.core.progress import Progress, log
from fpa.data.sources import SOURCES, instructions

ATTEMPTS = 6
"""Failures in a row without any progress before a download is given up."""
PAUSE = 2.0
"""Seconds before the second attempt; each later pause is twice as long."""
TIMEOUT = 60
BLOCK = 1 << 16


def fetch_archive(source: str, path: Path) -> None:
    """Download a source's official archive to `path`; UserError when that cannot be done."""
    known = SOURCES[source]
    if not known.archive:
        raise UserError(f"{source} needs no download: {known.description}")
    if not known.url:
        what = instructions(source, source, path)
        raise UserError(f"{source} cannot be fetched unattended: {what}")
    log.info("%s (%s; %s) from %s", known.archive, known.size, known.licence, known.page)
    if known.md5 or known.sha256:
        fetch(known.url, path, md5=known.md5, sha256=known.sha256)
    else:
        fetch_same(known.url, path)
    log.info("%s: %d bytes", path, path.stat().st_size)


class _Broken(Exception):
    """This attempt failed; another may succeed."""


def fetch(url: str, path: Path, md5: str = "", sha256: str = "") -> None:
    """Download `url` to `path`, which appears only when it is whole.

    md5, sha256: the expected digest, or the beginning of it; empty when it is not known. What has
    been downloaded so far is kept in a folder beside the file, and the next call continues from
    there. A download of the same file by another process is waited for. UserError when the server
    refuses, does not answer, or sends something else.
    """
    part = path.with_name(f".{path.name}.part")
    before = _which(path)
    with locked(part, f"downloading {path}", wait=True):
        if _which(path) not in (None, before):
            shutil.rmtree(part)
            return
        failures, most = 0, 0
        while True:
            try:
                _attempt(url, part / "data", part / "about.json", path.name)
                break
            except (requests.RequestException, _Broken) as error:
                reason = f"{path.name}: {_reason(error)}"
            came = (part / "data").stat().st_size if (part / "data").exists() else 0
            failures, most = (1, came) if came > most else (failures + 1, most)
            if failures == ATTEMPTS:
                raise UserError(
                    f"{reason}, {ATTEMPTS} times; run the same command again to go on, or fetch "
                    f"{url} by other means and put it at {path}"
                )
            pause = PAUSE * 2 ** (failures - 1)
            log.warning("%s; trying again in %g s", reason, pause)
            time.sleep(pause)
        for algorithm, expected in (("md5", md5), ("sha256", sha256)):
            found = file_digest(part / "data", algorithm) if expected else ""
            if not found.startswith(expected):
                shutil.rmtree(part)
                raise UserError(
                    f"{url} sent a file with {algorithm.upper()} {found}, expected {expected}; "
                    "try again, or fetch it by other means"
                )
        os.replace(part / "data", path)
        shutil.rmtree(part)


def fetch_same(url: str, path: Path) -> None:
    """Download a file without a published digest: the first one that came is the right one.

    Its SHA-256 is kept beside it, in the form that sha256sum checks. UserError when the server
    sends another file later.
    """
    record = path.with_name(f"{path.name}.sha256")
    known = record.read_text(encoding="utf-8").split()[:1] if record.exists() else []
    try:
        fetch(url, path, sha256="".join(known))
    except UserError as error:
        if not known:
            raise
        raise UserError(f"{error}; delete {record} if the new file is right") from error
    if not known:
        write_text(record, f"{file_digest(path)}  {path.name}\n")


def _which(path: Path) -> tuple[int, int] | None:
    """What tells a file from a later one of its name."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def _attempt(url: str, data: Path, about: Path, label: str) -> None:
    have = data.stat().st_size if data.exists() else 0
    known = read_json(about) if have and about.exists() else {}
    headers = {"Accept-Encoding": "identity"}
    # Ask for the rest only if the server can confirm that it is of the same version.
    if have and known.get("version"):
        headers |= {"Range": f"bytes={have}-", "If-Range": known["version"]}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416 and have == known.get("bytes"):
            return
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 416, 429):
            raise UserError(f"{url} answers {answer.status_code} {answer.reason}")
        start = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if answer.status_code == 416 or (answer.status_code == 206 and start != str(have)):
            # What is on disk is not the beginning of the file on the server.
            data.unlink(missing_ok=True)
        if answer.status_code not in (200, 206) or not (answer.status_code == 200 or data.exists()):
            raise _Broken(f"the server answers {answer.status_code} {answer.reason}")
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise UserError(f"{url} sends a web page instead of the file; look at it in a browser")
        have = have if answer.status_code == 206 else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if version.startswith("W/"):
            version = answer.headers.get("Last-Modified", "")
        write_json(about, {"url": url, "version": version, "bytes": total})
        bar = Progress(total or 0, f"downloading {label}", "bytes", done=have)
        try:
            with open(data, "ab" if have else "wb") as file:
                for block in answer.iter_content(BLOCK):
                    file.write(block)
                    bar.update(len(block))
        except OSError as error:
            if isinstance(error, requests.RequestException):
                raise
            raise UserError(f"cannot write {data}: {error.strerror or error}") from error
        finally:
            bar.close()
    if total is not None and data.stat().st_size != total:
        raise _Broken(f"{data.stat().st_size:,} of {total:,} bytes came")


def _reason(error: Exception) -> str:
    """A network error as a short, readable text."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT} s"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "the connection failed or broke"
    return str(error)
