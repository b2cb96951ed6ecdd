"""Stands in for the stages in tests of the workflow: `python -m fpa VERB`, in milliseconds.

Every number follows from the files that it is made from. Weights are random, as on a GPU: a run that is
trained twice has others; and a score that is made twice is another file. Trainings are counted in $STAND_IN/trained. The word in
$STAND_IN/accident, if any, says how the next verbs of a name end.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path


def words_behind(name: str) -> list[str]:
    found = []
    for word in sys.argv[sys.argv.index(name) + 1 :]:
        if word.startswith("--"):
            break
        found.append(word)
    return found


def digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, text: str) -> None:
    from fpa.core.files import write_text

    write_text(path, text)


def prepare(out: Path) -> None:
    dataset = dict(pair.split("=") for pair in sys.argv if "=" in pair)
    images = digest("images", dataset["resolution"])
    write(out / "images.npy", images)
    about = {"images_sha256": images, "stages": {"prepare": 1}, "count": 1, "names": ["0000"]}
    about |= {"unreadable": [], "ignored": [], "versions": {}}
    about["source"] = {"name": "digits", "kind": "scikit-learn", "files_sha256": images}
    about["duplicates"] = {"files": 0, "images": 0, "groups": []}
    identity = {
        "name": "digits", "source": "digits", "resolution": int(dataset["resolution"]),
        "channels": 1, "filter": "bicubic", "count": 1797,
    }  # fmt: skip
    write(out / "manifest.json", json.dumps({**about, "dataset": identity}))


def train(run_file: Path) -> None:
    from fpa.core.files import read_json
    from fpa.runs.keeping import finish_again, kept_folder, publish

    run, folder = read_json(run_file), run_file.parent
    images = read_json(Path(words_behind("--store")[0]) / "manifest.json")["images_sha256"]
    if finish_again(folder, run["digest"], images):
        return
    weights = digest(run["digest"], images, os.urandom(8).hex())
    kept = kept_folder(folder)
    write(kept / "weights.safetensors", weights)
    write(kept / "history.csv", f"history of {weights}")
    summary = {
        "digest": run["digest"],
        "images_sha256": images,
        "weights_sha256": hashlib.sha256(weights.encode()).hexdigest(),
    }
    write(kept / "train.json", json.dumps({**summary, "run": run}))
    with open(Path(os.environ["STAND_IN"]) / "trained", "a") as file:
        file.write(f"{run['digest']} {weights}\n")
    publish(folder)


def score(folder: Path, out: Path) -> None:
    from fpa.core.files import read_json

    summary = read_json(folder / "train.json")
    fake, real = (Path(words_behind(name)[0]) for name in ("--fake", "--real"))
    about = {"run": summary["digest"], "trained_sha256": summary["weights_sha256"]}
    about["when"] = os.urandom(8).hex()
    write(out, json.dumps({**about, "value": digest(fake.read_text(), real.read_text())}))


def table(inputs: list[str], out: Path) -> None:
    rows = [(json.loads(Path(name).read_text()), name) for name in inputs if name.endswith("json")]
    text = "".join(f"{name} {row['value']}\n" for row, name in rows)
    for ending in ("csv", "md", "tex"):
        write(out.with_suffix(f".{ending}"), text)


def stand_in(verb: str) -> None:
    out = Path(words_behind("--out")[0]) if "--out" in sys.argv else Path()
    first = sys.argv[2] if len(sys.argv) > 2 else ""
    if verb == "prepare":
        prepare(out)
    elif verb == "train":
        train(Path(first))
    elif verb == "score":
        score(Path(first), out)
    elif verb == "table":
        table(words_behind(first), out)
    elif verb == "sample":
        write(out, digest("samples", sha(Path(first) / "weights.safetensors")))
        write(out.with_suffix(".json"), "{}")
    else:  # extractor, features, radii
        source = Path(first) / "images.npy" if Path(first).is_dir() else Path(first)
        write(out, digest(verb, sha(source)) if source.exists() else verb)
        write(out.with_suffix(".json"), json.dumps({"verb": verb}))


def end_as_told(when: str, verb: str) -> None:
    """An accident of this verb: it fails, or Snakemake is killed, before or after its work."""
    path = Path(os.environ["STAND_IN"]) / "accident"
    if not path.exists():
        return
    wanted, moment, kind = path.read_text().split()
    if (wanted, moment) != (verb, when):
        return
    path.unlink()
    if kind == "kill":
        os.kill(int((path.parent / "snakemake.pid").read_text()), signal.SIGKILL)
    os._exit(1)


if "STAND_IN" in os.environ and sys.orig_argv[1:3] == ["-m", "fpa"]:
    sys.argv = ["fpa", *sys.orig_argv[3:]]
    verb = sys.argv[1]
    end_as_told("before", verb)
    stand_in(verb)
    end_as_told("after", verb)
    os._exit(0)
