"""The command line: every step of an experiment as a verb that also works by hand.

A user's mistake ends in one line and exit code 1, a bad command line in 2; a training that was
asked to stop has saved everything and ends with 75 (try again later), so that a scheduler can
tell it from a failure.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpa.common.errors import Stopped, UserError, did_you_mean
from fpa.common.progress import Progress, log, start_logging

if TYPE_CHECKING:
    import torch

    from fpa.training.run import Run
    from fpa.training.signals import StopSignal

EXIT_STOPPED = 75
COMMAND = (sys.executable, "-m", "fpa")

EPILOG = """\
By hand, what the workflow does:
  python -m fpa plan config.yaml --write
  python -m fpa prepare digits --config config.yaml
  python -m fpa train RUN/run.json --store DATA/digits-...      (RUN as `plan` prints it)
  python -m fpa sample RUN --count 2000 --out samples.npy
`python -m fpa VERB --help` explains each verb."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    try:
        start_logging(options.verb, options.log)
        options.action(options)
    except Stopped as reason:
        log.warning("stopped by %s", reason)
        return EXIT_STOPPED
    except UserError as error:
        return _fail(options.verb, str(error), 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough; closing stderr keeps Python from complaining.
        sys.stderr.close()
        return 1
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(options.verb, f"{error.strerror or error}:{where}", 1)
    except KeyboardInterrupt:
        return _fail(options.verb, "interrupted; nothing half-written is left", 130)
    return 0


def _fail(verb: str, message: str, code: int) -> int:
    if log.handlers:
        log.error("error: %s", "\n".join(" ".join(line.split()) for line in message.splitlines()))
    else:
        print(f"fpa {verb}: error: {message}", file=sys.stderr)
    return code


# The verbs ----------------------------------------------------------------------------------


def plan(options: argparse.Namespace) -> None:
    """List an experiment's runs, or write run files."""
    from fpa.common.files import write_json
    from fpa.experiment.config import read_config
    from fpa.experiment.plan import Experiment
    from fpa.training.run import Run

    if options.run:
        run = Run.from_config(json.loads(options.run))
        write_json(options.out, run.config)
        return
    experiment = Experiment(read_config(options.config))
    experiment.check_before_start()
    if options.write:
        experiment.claim()
    for run in experiment.runs:
        folder = experiment.results / run.folder
        if options.write and not (folder / "run.json").exists():
            write_json(folder / "run.json", run.config)
        state = "trained" if (folder / "weights.safetensors").exists() else "to train"
        print(f"{folder}  {run.training['kimg']:g} kimg, {run.steps} steps, {state}")


def models(options: argparse.Namespace) -> None:
    """Print the settings that a model takes."""
    from fpa.models.interface import find_class, settings_model

    for name in options.classes:
        schema = settings_model(find_class(name, "class")).model_json_schema()
        print(f"{name}")
        _print_settings(schema, schema.get("$defs", {}), "  ")


def _print_settings(schema: dict[str, Any], shared: dict[str, Any], indent: str) -> None:
    for key, part in schema.get("properties", {}).items():
        reference = part.get("$ref") or next((p["$ref"] for p in part.get("allOf", [])), None)
        if reference:
            print(f"{indent}{key}:")
            _print_settings(shared[reference.rpartition("/")[2]], shared, indent + "  ")
        else:
            text = part.get("description", "")
            print(
                f"{indent}{key}: {json.dumps(part.get('default'))}{'  # ' + text if text else ''}"
            )


def prepare(options: argparse.Namespace) -> None:
    """Turn a data set's source into a memory-mapped array and a manifest."""
    from fpa.data.prepare import prepare
    from fpa.data.store import verify

    spec, folder = _dataset(options)
    if options.verify:
        manifest = verify(folder)
        log.info("%s: %d images, as the manifest says", folder, manifest["count"])
        return
    manifest = prepare(spec, folder, options.workers)
    same = manifest["duplicates"]["images"]
    log.info(
        "%s: %d images of %d px in %s%s%s",
        spec["name"],
        manifest["count"],
        spec["resolution"],
        folder,
        f"; {same} are exact duplicates" if same else "",
        f"; {len(manifest['unreadable'])} left out" if manifest["unreadable"] else "",
    )


def inspect(options: argparse.Namespace) -> None:
    """Describe a prepared data set and draw a contact sheet of it."""
    from fpa.data.store import open_store
    from fpa.reporting.inspection import contact_sheet, describe

    folder = Path(options.dataset)
    if not (folder / "manifest.json").exists():
        _, folder = _dataset(options)
    images, manifest = open_store(folder)
    sheet = Path(options.sheet or folder / "contact-sheet.png")
    contact_sheet(images, options.count, sheet)
    print(describe(manifest, folder))
    print(f"{'contact sheet':<14} {sheet}")


def download(options: argparse.Namespace) -> None:
    """Fetch a data set's official archive, going on from a broken download."""
    from fpa.data.catalogue import SOURCES, archive_path, instructions
    from fpa.data.download import fetch
    from fpa.experiment.config import check_config, read_config

    if options.source not in SOURCES:
        known = did_you_mean(options.source, list(SOURCES))
        raise UserError(f"unknown data set '{options.source}'{known}")
    source = SOURCES[options.source]
    if options.out:
        out = Path(options.out)
    else:
        out = archive_path(options.source, Path(check_config(read_config(options.config))["data"]))
    if not source.archive:
        raise UserError(f"{options.source} needs no download: {source.description}")
    if not source.url:
        dataset = {"name": options.source, "source": options.source, "path": str(out)}
        raise UserError(f"{options.source} cannot be fetched unattended: {instructions(dataset)}")
    log.info("%s (%s; %s) from %s", source.archive, source.size, source.licence, source.page)
    fetch(source.url, out, md5=source.md5)
    log.info("%s: %d bytes", out, out.stat().st_size)


def extractor(options: argparse.Namespace) -> None:
    """Find or download a feature extractor's weights and check them."""
    from fpa.evaluation.extractors import obtain

    about = obtain(options.name, options.weights, Path(options.out))
    for file in about["weights"].values():
        log.info("%s: %s (SHA-256 %s...)", about["name"], file["path"], file["sha256"][:12])


def train(options: argparse.Namespace) -> None:
    """Train one run to the end of its budget, going on from its last checkpoint."""
    from fpa.training import launch
    from fpa.training.signals import StopSignal

    # Before all that takes seconds to load: from here on, a signal is answered by saving.
    with StopSignal() as stop:
        if options.gpus > 1 and not launch.is_worker():
            code = launch.launch([*COMMAND, *options.arguments], options.gpus, stop)
            if code:
                sys.exit(code)
        else:
            _train(options, stop)


def _train(options: argparse.Namespace, stop: "StopSignal") -> None:
    from fpa.common import distributed
    from fpa.common.files import read_json
    from fpa.data.feed import Feed
    from fpa.data.store import open_store
    from fpa.training import launch
    from fpa.training.loop import Training, load_networks, train
    from fpa.training.run import Run

    run = Run.from_config(read_json(options.run, made_by="python -m fpa plan --write"))
    folder = Path(options.out or Path(options.run).parent)
    images, manifest = open_store(options.store)
    device = _device(options)
    if run.base and not options.base:
        raise UserError(
            f"{run.model['name']} starts from a finished run; name its folder by --base"
        )
    if launch.is_worker():
        distributed.init(device)
    training = Training(
        run,
        Feed(images, run.training["batch_size"], run.seed),
        manifest["images_sha256"],
        device,
        options.log_every,
        _watch(options, run, device),
        load_networks(Path(options.base)) if run.base else None,
        stop,
    )
    train(training, folder)
    distributed.shut_down()
    log.info("%s: trained, %g kimg", folder, training.kimg())


def _watch(options: argparse.Namespace, run: "Run", device: "torch.device") -> Callable | None:
    """The quick score of a training, if the run wants one and the real features are there."""
    from fpa.training import launch

    if not run.training["watch_kimg"] or not options.real or launch.rank():
        return None
    import numpy as np
    import torch

    from fpa.evaluation import distances, extractors, features, sampling
    from fpa.training.run import build_model

    real = features.load(options.real).values
    shift = distances.origin(real)
    reference = distances.gaussian(distances.sums(real, shift), shift)
    network = extractors.load(options.extractor, "clean", device)
    with torch.device("meta"):
        latent_dim = build_model(run).latent_dim
    count = run.training["watch_images"]

    def watch(generator: "torch.nn.Module") -> dict[str, float]:
        chunks = sampling.sample_chunks(generator, latent_dim, count, run.seed, device)
        fake = np.concatenate([features.extract(images, network) for images in chunks])
        moments = distances.gaussian(distances.sums(fake, shift), shift)
        return {"fid": distances.frechet(reference, moments)}

    return watch


def sample(options: argparse.Namespace) -> None:
    """Draw images from a finished run's generator."""
    from fpa.evaluation import sampling

    model, device = _finished(options)
    bar = Progress(options.count, f"sampling {Path(options.run).name}", "images")
    chunks = sampling.sample_chunks(
        model.ema, model.latent_dim, options.count, options.seed, device
    )
    sampling.save(options.out, chunks, options.count, bar)
    bar.close()


def export(options: argparse.Namespace) -> None:
    """Save a finished run's EMA generator by itself: safetensors and configuration."""
    from fpa.common.files import read_json
    from fpa.training.export import export

    model = _restored(options)
    run = read_json(Path(options.run) / "train.json", made_by="python -m fpa train")["run"]
    export(model, run, options.checkpoint, Path(options.out))
    log.info("%s: `python -m fpa sample` paints from it", options.out)


def bundle(options: argparse.Namespace) -> None:
    """Pack what an experiment's tables, figures and report are made from into one file."""
    from fpa.reporting.bundle import pack

    out = Path(options.out or Path(options.results) / "bundle.tar.gz")
    count = pack(Path(options.results), out, options.weights)
    log.info("%s: %d files, %.1f MB", out, count, out.stat().st_size / 1e6)


def unpack(options: argparse.Namespace) -> None:
    """Restore a bundle, every file checked against its manifest."""
    from fpa.reporting.bundle import unpack

    folder = unpack(Path(options.bundle), Path(options.into) if options.into else None)
    log.info(
        "%s is restored; `python -m fpa report %s` makes its tables, figures and page",
        *[folder] * 2,
    )


def paint(options: argparse.Namespace) -> None:
    """Save the strokes of a few paintings for the figures."""
    import torch

    from fpa.common.files import save_npz
    from fpa.evaluation.sampling import CHUNK, sample_latents

    model, device = _painter(options)
    z = sample_latents(CHUNK, model.latent_dim, options.seed)[: options.count].to(device)
    with torch.inference_mode():
        parts = model.paint(z)
    save_npz(options.out, **{name: part.cpu().numpy() for name, part in parts.items()})


def strokes(options: argparse.Namespace) -> None:
    """Save step statistics of many paintings for the figures."""
    import torch

    from fpa.common.files import save_npz
    from fpa.evaluation.sampling import CHUNK, sample_latents
    from fpa.evaluation.trace import join, statistics

    model, device = _painter(options)
    bar = Progress(options.count, f"painting {Path(options.run).name}", "paintings")
    chunks = []
    for chunk, start in enumerate(range(0, options.count, CHUNK)):
        n = min(CHUNK, options.count - start)
        z = sample_latents(CHUNK, model.latent_dim, options.seed, chunk)[:n].to(device)
        with torch.inference_mode():
            parts = model.paint(z)
        chunks.append(statistics({name: part.cpu().numpy() for name, part in parts.items()}))
        bar.update(n)
    bar.close()
    save_npz(options.out, **join(chunks))


def interpolate(options: argparse.Namespace) -> None:
    """Draw images between pairs of latents from a finished run's EMA generator."""
    import numpy as np

    from fpa.common.files import atomic_open
    from fpa.evaluation.interpolation import interpolate

    model, device = _finished(options)
    images = interpolate(
        model.ema, model.latent_dim, options.count, options.frames, options.seed, device
    )
    with atomic_open(options.out) as file:
        np.save(file, images)


def neighbours(options: argparse.Namespace) -> None:
    """Find the training images that samples come nearest to, in feature space."""
    from fpa.common.files import load_array, save_npz
    from fpa.data.store import open_store
    from fpa.evaluation import features, scores
    from fpa.evaluation.neighbours import search

    both = scores.pair(features.load(options.real), features.load(options.fake))
    images, _ = open_store(options.store)
    samples = load_array(options.samples, mmap_mode="r")
    found = search(both.real.values, both.fake.values, images, samples, options.count)
    save_npz(options.out, **found)


def excerpt(options: argparse.Namespace) -> None:
    """Copy the first images of a prepared data set, for the figures."""
    import numpy as np

    from fpa.common.files import atomic_open
    from fpa.data.store import open_store

    images, _ = open_store(options.store)
    with atomic_open(options.out) as file:
        np.save(file, np.asarray(images[: options.count]))


def features(options: argparse.Namespace) -> None:
    """Compute the features of an image array (.npy, or a prepared data set's folder)."""
    import numpy as np

    from fpa.common.files import file_digest, load_array
    from fpa.data.store import open_store
    from fpa.evaluation import features
    from fpa.evaluation.protocols import Space

    path, space = Path(options.images), Space.parse(options.space)
    if path.is_dir():
        images, manifest = open_store(path)
        about = {"images_sha256": manifest["images_sha256"]}
    else:
        images = load_array(path, mmap_mode="r")
        about = {"images_sha256": file_digest(path)}
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != np.uint8:
        raise UserError(
            f"{path} holds {images.dtype} {images.shape}, expected uint8 (N, 1 or 3, H, W)"
        )
    if options.count:
        if options.count > len(images):
            raise UserError(f"{path} holds {len(images):,} images, not {options.count:,}")
        images, about = images[: options.count], {**about, "count": options.count}
    device = _device(options)
    bar = Progress(len(images), f"features of {'/'.join(path.parts[-2:])}", "images")
    features.compute(images, space, options.extractor, device, Path(options.out), about, bar.update)
    bar.close()


def score(options: argparse.Namespace) -> None:
    """FID, KID and more of a run's features against the real ones."""
    from fpa.common import provenance
    from fpa.common.files import read_json, write_json
    from fpa.evaluation import features, scores

    def load(fake: str, real: str) -> scores.Pair:
        chosen = scores.choose(features.load(real), options.n_real, options.seed)
        return scores.pair(chosen, features.load(fake))

    main = load(options.fake, options.real)
    libraries = None
    if options.check:
        ours, theirs = options.check[:2], options.check[2:]
        same = ours == [options.fake, options.real]
        libraries = (main if same else load(*ours), load(*theirs))
    summary = read_json(Path(options.run) / "train.json", made_by="python -m fpa train")
    run, about = summary["run"], main.fake.about
    settings = scores.Settings(
        options.metrics,
        options.frechet,
        options.kid_subsets,
        options.kid_subset_size,
        options.groups,
        options.seed,
    )
    measured = scores.measure(main, libraries, settings)
    result = {
        "dataset": run["dataset"]["name"],
        "resolution": run["dataset"]["resolution"],
        "model": run["model"]["name"],
        "seed": run["seed"],
        "run": summary["digest"],
        "kimg": summary["kimg"],
        "checkpoint": options.checkpoint,
        "checkpoint_kimg": (
            summary["best"]["kimg"] if options.checkpoint == "best" else summary["kimg"]
        ),
        "generator_parameters": summary["parameters"].get("ema"),
        "status": "ok" if measured else "nan",
        "metrics": measured,
        "protocol": options.protocol,
        **{key: about[key] for key in ("extractor", "resize", "format", "weights_sha256")},
        "settings": settings._asdict(),
        "n_real": len(main.real.values),
        "n_fake": len(main.fake.values),
        "real_sha256": main.real.about["images_sha256"],
        "fake_sha256": about["images_sha256"],
        "versions": provenance.versions(),
    }
    write_json(options.out, result)
    told = ", ".join(_told(name, **estimate) for name, estimate in measured.items())
    log.info(
        "%s %s seed %d, %s protocol (%s, %d real, %d fake): %s",
        *(result[k] for k in ("dataset", "model", "seed", "protocol", "extractor")),
        *(result[k] for k in ("n_real", "n_fake")),
        told or "its samples' features are not finite",
    )


def _told(name: str, value: float | None, error: float | None) -> str:
    number = "unknown" if value is None else f"{value:.4g}"
    return f"{name} {number}" + (f" ± {error:.2g}" if error is not None else "")


def compare(options: argparse.Namespace) -> None:
    """Show two runs' scores with their difference in standard errors."""
    from fpa.reporting.tables import comparison

    one, two = (_scores_of(Path(place)) for place in (options.one, options.two))
    shared = [name for name in one if name in two]
    if not shared:
        raise UserError(
            f"no protocol scores both: {options.one} has {', '.join(one)}; "
            f"{options.two} has {', '.join(two)}"
        )
    for name in shared:
        print(comparison(one[name], two[name]), end="\n\n")


def _scores_of(place: Path) -> dict[str, dict[str, Any]]:
    """A run's scores by protocol: of its folder, or one score file."""
    from fpa.common.files import read_json

    paths = sorted(place.glob("score-*.json")) if place.is_dir() else [place]
    if not paths:
        raise UserError(f"{place} holds no score; `snakemake` makes them, or python -m fpa score")
    found = {}
    for path in paths:
        score = read_json(path)
        if not isinstance(score, dict) or "metrics" not in score:
            raise UserError(f"{path} is no score file; name a run's folder or its score-*.json")
        found[f"{score['protocol']}, {score['n_fake']:,} samples"] = score
    return found


def cost(options: argparse.Namespace) -> None:
    """Count a run's parameters and multiply-adds, and measure its images per second."""
    from fpa.common.files import read_json, write_json
    from fpa.training.cost import count, measure
    from fpa.training.run import Run

    run = Run.from_config(read_json(options.run, made_by="python -m fpa plan --write"))
    result = {
        "dataset": run.dataset["name"],
        "resolution": run.dataset["resolution"],
        "model": run.model["name"],
        "kimg": run.training["kimg"],
        **count(run),
        **measure(run, _device(options), options.seconds),
    }
    write_json(options.out, result)
    log.info(
        "%s on %s: %s generator parameters, %.4g images/s in training, %.4g in sampling",
        run.model["name"],
        run.dataset["name"],
        f"{result['generator_parameters']:,}",
        result["training_images_per_second"],
        result["sampling_images_per_second"],
    )


def table(options: argparse.Namespace) -> None:
    """Gather scores or costs into a table: .csv, .md and .tex, and print it."""
    from fpa.common.files import read_json

    entries = [read_json(path) for path in options.inputs]
    labels, out = json.loads(options.labels), Path(options.out)
    markdown = _tabulate(options.kind, entries, labels, options.experiment, options.published, out)
    print(f"\n{markdown}\n{out}", flush=True)


def _tabulate(
    kind: str,
    entries: Sequence[dict[str, Any]],
    labels: dict[str, str],
    experiment: str,
    published: str | Path | None,
    out: Path,
) -> str:
    """Write a table's files, unless they stand there already; its Markdown."""
    from fpa.common.files import write_text
    from fpa.reporting import tables

    other = tables.read_published(published) if published else None
    frame, shown, caption = tables.build(kind, entries, labels, experiment, other)
    texts = {
        ".md": tables.to_markdown(shown, caption),
        ".tex": tables.to_latex(shown, caption),
        ".csv": frame.to_csv(index=False),
    }
    for ending, text in texts.items():
        path = out.with_suffix(ending)
        if not path.exists() or path.read_text() != text:
            write_text(path, text)
    return texts[".md"]


def figure(options: argparse.Namespace) -> None:
    """Draw one figure of an experiment from the artifacts in its results folder."""
    from fpa.reporting.catalogue import figures
    from fpa.reporting.drawing import draw

    specs = figures(_description(options.results))
    if options.name not in specs:
        raise UserError(
            f"there is no figure '{options.name}'{did_you_mean(options.name, [*specs])}"
        )
    draw(specs[options.name], Path(options.results))


def report(options: argparse.Namespace) -> None:
    """Make an experiment's page, with tables and figures of what there is."""
    from fpa.common.files import write_text
    from fpa.reporting.catalogue import figures
    from fpa.reporting.drawing import draw_missing
    from fpa.reporting.report import render

    results = Path(options.results)
    about = _description(results)
    specs = figures(about)
    not_drawn: dict[str, str] = {}
    if not options.as_is:
        _tabulate_what_there_is(about, results)
        not_drawn = draw_missing(specs, results)
    for name, reason in not_drawn.items():
        log.warning("%s is not drawn: %s", name, reason)
    page = render(about, specs, results, not_drawn)
    out = Path(options.out or results / "report.html")
    write_text(out, page)
    log.info("%s: %.1f MB; open it in a browser", out, out.stat().st_size / 1e6)


def _tabulate_what_there_is(about: dict[str, Any], results: Path) -> None:
    """Every table, with words for the runs that have no score."""
    from fpa.reporting.catalogue import labels
    from fpa.reporting.report import table_entries
    from fpa.reporting.tables import PUBLISHED

    published = about["config"]["published"] or PUBLISHED
    for kind in ("fid", "kid", "scores", "models"):
        entries = table_entries(about, kind, results)
        if entries:
            out = results / "tables" / f"{kind}.csv"
            _tabulate(kind, entries, labels(about), about["experiment"], published, out)


def _description(results: str | Path) -> dict[str, Any]:
    """What an experiment's results folder says about itself."""
    from fpa.common.files import read_json

    path = Path(results) / "experiment.json"
    about = read_json(path, made_by="python -m fpa plan --write")
    if "runs" not in about:
        raise UserError(
            f"{path} was written by an older version; `python -m fpa plan CONFIG --write` renews it"
        )
    return about


# Helpers and the parser ----------------------------------------------------------------------


def _dataset(options: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """A data set's complete settings and the folder of its prepared images."""
    import yaml

    from fpa.data.catalogue import SOURCES, resolve, store_name
    from fpa.experiment.config import check_config, check_dataset, read_config

    name = options.dataset
    if name.lstrip().startswith("{"):
        spec = json.loads(name)
        name = spec.pop("name")
        spec = resolve(name, check_dataset(spec, name), Path("data"), name)
        return spec, Path(options.out or store_name(spec))
    config = check_config(read_config(options.config))
    pairs = [setting.partition("=") for setting in options.settings]
    if any(not sign for _, sign, _ in pairs):
        raise UserError(f"expected settings as key=value, found {' '.join(options.settings)}")
    settings = {key: yaml.safe_load(value) for key, _, value in pairs}
    known = config["datasets"]
    if name not in known and name not in SOURCES and "source" not in settings:
        near = did_you_mean(name, [*known, *SOURCES])
        raise UserError(
            f"neither {options.config} nor this project knows a data set '{name}'{near}"
        )
    data = Path(config["data"])
    spec = check_dataset({"resolution": 64, **known.get(name, {}), **settings}, name)
    spec = resolve(name, spec, data, name)
    return spec, Path(options.out or data / store_name(spec))


def _device(options: argparse.Namespace) -> "torch.device":
    """The device to work on; sets the number of CPU threads as well."""
    import torch

    from fpa.training import gpus, launch

    if options.threads:
        torch.set_num_threads(options.threads)
    name = options.device
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("no GPU that torch can use was found; set device: cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if launch.is_worker():
        place = int(os.environ["LOCAL_RANK"])
    else:
        place = gpus.take(gpus.visible(count)) if count > 1 else 0
    if place >= count:
        raise UserError(
            f"{os.environ['WORLD_SIZE']} GPUs are asked for, {count} found; "
            "set runtime.gpus (--gpus) to what there is"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def _finished(options: argparse.Namespace) -> tuple[Any, "torch.device"]:
    """A finished run's or an export's model on its device, ready to sample from."""
    model, device = _restored(options), _device(options)
    model.to(device)
    model.ema.eval()
    return model, device


def _restored(options: argparse.Namespace) -> Any:
    """The model of a finished run or of an export, with the EMA weights asked for."""
    from fpa.common.files import read_json
    from fpa.training import export
    from fpa.training.loop import load_networks
    from fpa.training.run import Run, build_model

    folder = Path(options.run)
    if export.is_export(folder):
        return export.load(folder)
    summary = read_json(folder / "train.json", made_by="python -m fpa train")
    model = build_model(Run.from_config(summary["run"]))
    networks = load_networks(folder)
    name = {"best": "best", "last": "ema"}[options.checkpoint]
    if name not in networks:
        raise UserError(
            f"{folder} kept no best checkpoint, because no quick score watched its training; "
            "use --checkpoint last"
        )
    model.ema.load_state_dict(networks[name])
    return model


def _painter(options: argparse.Namespace) -> tuple[Any, "torch.device"]:
    """The same of a model that shows its strokes."""
    model, device = _finished(options)
    if not hasattr(model, "paint"):
        raise UserError(f"{options.run}: this model does not paint step by step")
    return model, device


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fpa",
        description="Fast Weight Painters, reproduced and measured.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(action: Callable[[argparse.Namespace], None], name: str = "") -> Any:
        text = action.__doc__ or ""
        sub = verbs.add_parser(name or action.__name__, help=text, description=text)
        sub.set_defaults(action=action)
        sub.add_argument("--log", metavar="FILE", help="also append what is said to this file")
        return sub.add_argument

    def devices(add: Any) -> None:
        add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any")
        add("--threads", type=int, default=0, help="CPU threads (0: all cores)")

    add = verb(plan)
    add("config", nargs="?", default="config.yaml", help="the experiment (config.yaml)")
    add("--write", action="store_true", help="write each run's run.json below the results folder")
    add("--run", metavar="JSON", help="instead: one resolved run, to be written to --out")
    add("--out", metavar="FILE", help="where --run goes")

    add = verb(models)
    add(
        "classes",
        nargs="*",
        default=[
            *("fpa.models:FPA", "fpa.models:FPAUNet", "baselines.lightgan:LightGAN"),
            *("baselines.stylegan2_ada:StyleGAN2ADA", "baselines.dcgan:DCGAN"),
        ],
        help="package.module:Class",
    )

    add = verb(download)
    add("source", help="afhq_cat, afhq_dog, afhq_wild (one archive) or lsun_church")
    add("--config", default="config.yaml", help="the experiment (config.yaml)")
    add("--out", metavar="FILE", help="default: archives/ in the experiment's data folder")

    for action in (prepare, inspect):
        add = verb(action)
        add("dataset", help="a data set of the configuration or of this project (celeba, ...)")
        add(
            "settings",
            nargs="*",
            metavar="KEY=VALUE",
            help="settings that replace the configuration's, as in path=photos.zip resolution=32",
        )
        add("--config", default="config.yaml", help="the experiment (config.yaml)")
        add("--out", metavar="DIR", help="folder of the prepared images, if not the usual one")
        if action is prepare:
            add("--workers", type=int, default=0, help="processes (0: one a core)")
            add("--verify", action="store_true", help="only check what is prepared, every byte")
        else:
            add("--count", type=int, default=64, help="images on the contact sheet")
            add("--sheet", metavar="PNG", help="default: contact-sheet.png in that folder")

    add = verb(extractor)
    add("name", help="inception_v3, or efficientnet_lite0-<n>px")
    add("--weights", metavar="DIR", help="folder with Inception's files, if you have them")
    add("--out", metavar="FILE", required=True, help="JSON file that describes the extractor")

    add = verb(train)
    add("run", metavar="RUN.JSON", help="the resolved run (python -m fpa plan --write)")
    add("--store", metavar="DIR", required=True, help="the prepared data set")
    add("--out", metavar="DIR", help="default: the folder of RUN.JSON")
    add("--base", metavar="DIR", help="finished run to start from, for models that need one")
    add("--real", metavar="FILE", help="features of the real images, for the quick scores")
    add("--extractor", metavar="FILE", help="the extractor of --real (python -m fpa extractor)")
    add("--log-every", type=int, default=100, metavar="STEPS", help="steps between history rows")
    add("--gpus", type=int, default=1, help="GPUs (or processes on the CPU) that share each batch")
    devices(add)

    for action, what in ((sample, "images"), (paint, "paintings"), (strokes, "statistics")):
        add = verb(action)
        add("run", metavar="DIR", help="folder of a finished run, or of an export")
        add("--count", type=int, default=64, help="number of images")
        add("--seed", type=int, default=0, help="seed of the latents")
        add("--checkpoint", choices=["best", "last"], default="last", help="of the EMA generator")
        add("--out", metavar="FILE", required=True, help=f"the {what}, .np[yz]")
        devices(add)

    add = verb(export)
    add("run", metavar="DIR", help="folder of a finished run")
    add("--checkpoint", choices=["best", "last"], default="last", help="of the EMA generator")
    add("--out", metavar="DIR", required=True, help="folder of the export")

    add = verb(interpolate)
    add("run", metavar="DIR", help="folder of a finished run")
    add("--count", type=int, default=3, help="pairs of latents")
    add("--frames", type=int, default=12, help="images from one latent to the other")
    add("--seed", type=int, default=0, help="seed of the latents")
    add("--checkpoint", choices=["best", "last"], default="last", help="of the EMA generator")
    add("--out", metavar="FILE", required=True, help="the images, .npy")
    devices(add)

    add = verb(neighbours)
    add("samples", metavar="FILE", help="samples, .npy")
    add("--fake", metavar="FILE", required=True, help="their features")
    add("--real", metavar="FILE", required=True, help="features of the real images")
    add("--store", metavar="DIR", required=True, help="the prepared data set")
    add("--count", type=int, default=10, help="samples that are shown")
    add("--out", metavar="FILE", required=True, help=".npz")

    add = verb(excerpt)
    add("store", metavar="DIR", help="the prepared data set")
    add("--count", type=int, default=64, help="number of images")
    add("--out", metavar="FILE", required=True, help="the images, .npy")

    add = verb(features)
    add("images", help="uint8 .npy of shape (N, C, H, W), or a prepared data set's folder")
    add("--extractor", metavar="FILE", required=True, help="from python -m fpa extractor")
    add("--count", type=int, default=0, help="only the first so many (all)")
    add("--space", default="efficientnet_lite0-96px.clean.array", help="EXTRACTOR.RESIZE.FORMAT")
    add("--out", metavar="FILE", required=True, help=".npy; a .json goes beside it")
    devices(add)

    add = verb(score)
    add("run", metavar="DIR", help="folder of the finished run")
    add("--fake", metavar="FILE", required=True, help="features of its samples")
    add("--real", metavar="FILE", required=True, help="features of the real images")
    add(
        "--check",
        nargs=4,
        metavar="FILE",
        help="fake and real features of clean-fid's and of torch-fidelity's half of the check",
    )
    add("--protocol", default="by hand", help="its name, for the tables")
    add("--checkpoint", choices=["best", "last"], default="last", help="that was sampled from")
    add(
        "--metrics",
        nargs="+",
        default=["fid", "kid"],
        help="fid, fid_infinity, kid, and, with --check, inception_score, precision, recall",
    )
    add("--frechet", choices=["symmetric", "clean_fid"], default="symmetric", help="its form")
    add("--n-real", type=int, help="real images, drawn at random (all)")
    add("--kid-subsets", type=int, default=100, help="subsets that KID averages over")
    add("--kid-subset-size", type=int, default=1000, help="images a subset, at most")
    add("--groups", type=int, default=10, help="parts of the samples, for sampling errors")
    add("--seed", type=int, default=0, help="seed of all random subsets")
    add("--out", metavar="FILE", required=True, help=".json")

    add = verb(cost)
    add("run", metavar="RUN.JSON", help="the resolved run (python -m fpa plan --write)")
    add("--seconds", type=float, default=3, help="about how long to measure, each")
    add("--out", metavar="FILE", required=True, help=".json")
    devices(add)

    add = verb(compare)
    add("one", metavar="A", help="a scored run's folder, or one of its score files")
    add("two", metavar="B", help="another")

    add = verb(table)
    add("kind", choices=["fid", "kid", "scores", "models"], help="models takes cost files")
    add("inputs", nargs="+", metavar="JSON", help="the files, in the order of the rows")
    add("--experiment", required=True, help="the experiment's name")
    add("--labels", default="{}", metavar="JSON", help="model names as shown")
    add("--published", metavar="CSV", help="published scores, for a column of their own")
    add("--out", metavar="CSV", required=True, help="the .csv; .md and .tex go beside it")

    add = verb(figure)
    add("results", metavar="DIR", help="the experiment's results folder")
    add("name", help="the figure's name: samples-<data set>, painting-<data set>-<model>, ...")

    add = verb(report)
    add("results", metavar="DIR", help="the experiment's results folder")
    add("--as-is", action="store_true", help="make no table or figure, take those that are there")
    add("--out", metavar="HTML", help="default: report.html in that folder")

    add = verb(bundle)
    add("results", metavar="DIR", help="the experiment's results folder")
    add("--weights", action="store_true", help="the trained networks as well")
    add("--out", metavar="FILE", help="default: bundle.tar.gz in that folder")

    add = verb(unpack)
    add("bundle", metavar="FILE", help="from `snakemake results/bundle.tar.gz` or `fpa bundle`")
    add(
        "--into",
        metavar="DIR",
        help="default: where the experiment's configuration has its results",
    )
    return parser
