"""Downloads from a real server on this machine that breaks, refuses and changes its mind."""

import hashlib
import http.server
import sys
import threading
import time

import numpy as np
import pytest
from conftest import fpa, started

from fpa.core.errors import UserError
from fpa.data import download
from fpa.data.download import fetch, fetch_same

DATA = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(DATA).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.data`, in the manner that the test sets."""

    def do_GET(self):
        server = self.server
        requested = self.headers.get("Range")
        server.requests.append(requested)
        if server.refuse:
            self.send_error(server.refuse.pop(0))
            return
        start = 0
        if requested and server.ranges and self.headers.get("If-Range") == server.version:
            start = int(requested.removeprefix("bytes=").removesuffix("-"))
        body = server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(body)))
        if server.version:
            self.send_header("ETag", server.version)
        if start:
            total = len(server.data)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        if server.breaks:
            body = body[: server.breaks.pop(0)]
        for at in range(0, len(body), 100_000):
            self.wfile.write(body[at : at + 100_000])
            time.sleep(server.pause)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0)
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.data, served.version, served.ranges = DATA, '"v1"', True
    served.kind, served.pause = "application/zip", 0
    served.refuse, served.breaks, served.requests = [], [], []
    served.url = f"http://127.0.0.1:{served.server_port}/file.zip"
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served
    served.shutdown()


def test_a_file_comes_whole_and_nothing_else_stays(server, tmp_path):
    fetch(server.url, tmp_path / "new/file.zip", md5=MD5)
    assert (tmp_path / "new/file.zip").read_bytes() == DATA
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["file.zip"]


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = [1_200_000, 500_000]
    fetch(server.url, tmp_path / "file.zip", md5=MD5)
    assert (tmp_path / "file.zip").read_bytes() == DATA
    assert server.requests[0] is None
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in server.requests[1:]]
    assert 0 < starts[0] < starts[1] <= 1_700_000
    # One that breaks often, but always brings something, is not given up.
    server.breaks = [200_000] * 12
    fetch(server.url, tmp_path / "other.zip", md5=MD5)
    assert (tmp_path / "other.zip").read_bytes() == DATA
    assert len(server.requests) == 3 + 13


def test_a_killed_download_goes_on_where_it_stopped(server, tmp_path):
    server.pause = 0.05
    script = f"from pathlib import Path; from fpa.data.download import fetch; fetch({server.url!r}, Path('file.zip'))"
    with started(sys.executable, "-c", script, cwd=tmp_path) as process:
        part = tmp_path / ".file.zip.part/data"
        while not part.exists() or part.stat().st_size < 1_000_000:
            assert process.poll() is None
            time.sleep(0.01)
    assert not (tmp_path / "file.zip").exists()
    server.pause = 0
    fetch(server.url, tmp_path / "file.zip", md5=MD5)
    assert (tmp_path / "file.zip").read_bytes() == DATA
    assert server.requests[1].startswith("bytes=1")


@pytest.mark.parametrize("way", ["no version", "no ranges", "another version"])
def test_what_cannot_be_gone_on_with_is_fetched_anew(server, tmp_path, way, monkeypatch):
    server.breaks = [1_000_000]
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    if way == "no version":
        server.version = ""
    with pytest.raises(UserError, match="1 times; run the same command again to go on"):
        fetch(server.url, tmp_path / "file.zip")
    if way == "no ranges":
        server.ranges = False
    if way == "another version":
        server.version, server.data = '"v2"', DATA[::-1]
    fetch(server.url, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == server.data


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(server, tmp_path):
    server.refuse = [503, 429, 500]
    fetch(server.url, tmp_path / "file.zip", md5=MD5)
    assert len(server.requests) == 4
    server.refuse = [404] * 9
    with pytest.raises(UserError, match="answers 404 Not Found"):
        fetch(server.url, tmp_path / "other.zip")
    assert len(server.requests) == 5
    server.refuse, server.kind = [], "text/html; charset=utf-8"
    with pytest.raises(UserError, match="sends a web page instead of the file"):
        fetch(server.url, tmp_path / "other.zip")


def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0)
    with pytest.raises(UserError, match=r"the connection failed or broke, 6 times; .* put it at"):
        fetch("http://127.0.0.1:9/file.zip", tmp_path / "file.zip")


def test_a_file_with_another_digest_is_refused_and_forgotten(server, tmp_path):
    server.data = DATA[:-1] + b"?"
    with pytest.raises(UserError, match=f"expected {MD5}"):
        fetch(server.url, tmp_path / "file.zip", md5=MD5)
    assert not (tmp_path / "file.zip").exists()
    server.data = DATA
    fetch(server.url, tmp_path / "file.zip", md5=MD5)
    assert (tmp_path / "file.zip").read_bytes() == DATA


def test_a_file_without_a_published_digest_must_stay_the_first_one(server, tmp_path):
    path, record = tmp_path / "file.zip", tmp_path / "file.zip.sha256"
    fetch_same(server.url, path)
    assert record.read_text() == f"{hashlib.sha256(DATA).hexdigest()}  file.zip\n"
    path.unlink()
    server.data, server.version = DATA[::-1], '"v2"'
    with pytest.raises(UserError, match=rf"expected .*; delete {record} if the new file is right"):
        fetch_same(server.url, path)
    assert not path.exists()
    server.data = DATA
    fetch_same(server.url, path)
    assert path.read_bytes() == DATA
    path.unlink()
    server.refuse = [404]
    record.unlink()
    with pytest.raises(UserError, match=r"answers 404 Not Found$"):
        fetch_same(server.url, path)
    assert not record.exists()


def test_what_no_program_can_fetch_says_what_to_do(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "experiment: x\ndatasets: {celeba: {resolution: 64}}\nmodels: {m: {class: a:B}}\n"
    )
    done = fpa("download", "celeba", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        "get img_align_celeba.zip (1.4 GB; non-commercial research only) from https://"
        in done.stderr
    )
    done = fpa("download", "celebs", cwd=tmp_path)
    assert "unknown data set 'celebs'; did you mean 'celeba'?" in done.stderr
    done = fpa("download", "digits", cwd=tmp_path)
    assert "digits needs no download" in done.stderr
