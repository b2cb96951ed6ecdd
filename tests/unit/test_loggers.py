"""What loggers write, read again by each service's own reader, without a network."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from fpa.cli import make_parser
from fpa.core.errors import UserError
from fpa.data.sources import DatasetSpec
from fpa.experiment.plan import Plan
from fpa.runs.run import Budget, Run, RunModel
from fpa.training.loggers import LOGGERS, LoggerKind, RunInfo, sheet
from fpa.workflow.checks import check_before_start

RUN = Run(
    DatasetSpec(name="digits", source="digits", resolution=16),
    RunModel("fpa", "fpa.models:FPA", {"painter": {"steps": 4}}),
    Budget(1, 8, 0),
    seed=3,
    digest="0123456789abcdef" * 4,
)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 3, 4, 4), dtype=np.uint8)


def begin(name, folder, step=0):
    return LOGGERS[name].begin(RunInfo(RUN, folder, step))


def two_attempts(name, folder) -> None:
    """Steps 0 to 4, stopped; on from a checkpoint at 2, which makes step 4 again."""
    logger = begin(name, folder)
    logger.log({"step": 0, "kimg": 0.0, "fid": 90.5}, IMAGES)
    logger.log({"step": 2, "kimg": 0.5, "loss": 2.5}, None)
    logger.log({"step": 4, "kimg": 1.0, "loss": float("nan")}, None)
    logger.close("stopped")
    logger = begin(name, folder, step=2)
    logger.log({"step": 4, "kimg": 1.0, "loss": 1.25, "fid": 40.0}, 255 - IMAGES)
    logger.close("finished")


def test_tensorboard_reads_each_step_once_after_a_continued_training(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    two_attempts("tensorboard", tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()

    def scalars(name):
        return [(event.step, event.value) for event in found.Scalars(name)]

    assert scalars("fid") == [(0, 90.5), (4, 40.0)]
    # The NaN of the first attempt's step 4 is gone: the training went back behind it.
    assert scalars("loss") == [(2, 2.5), (4, 1.25)]
    assert [step for step, _ in scalars("kimg")] == [0, 2, 4]
    pictures = found.Images("snapshot")
    assert [picture.step for picture in pictures] == [0, 4]
    with Image.open(io.BytesIO(pictures[0].encoded_image_string)) as picture:
        assert np.array_equal(np.asarray(picture), sheet(IMAGES))


def wandb_records(path):
    """The records of W&B's offline file: LevelDB's log format, W&B's own messages."""
    from wandb.proto import wandb_internal_pb2

    data, place, message = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32_768 - place % 32_768
        if left < 7:
            place += left
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        message += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            message = b""
            yield record


def test_wandb_keeps_an_offline_run_of_the_runs_own_id(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name in ("WANDB_PROJECT", "WANDB_DIR", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    two_attempts("wandb", tmp_path)
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-0123456789abcdef.wandb"))
    rows, runs = [], []
    for path in files:
        for record in wandb_records(path):
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({i.key or "/".join(i.nested_key): i.value_json for i in items})
            elif record.WhichOneof("record_type") == "run":
                runs.append(record.run)
    assert {run.run_id for run in runs} == {RUN.digest[:16]}
    assert {run.project for run in runs} == {"fpa"}
    assert runs[0].display_name == "digits fpa seed 3"
    config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert config["model"]["settings"] == {"painter": {"steps": 4}}
    losses = [(int(row["step"]), json.loads(row["loss"])) for row in rows if "loss" in row]
    assert losses[0] == (2, 2.5)
    assert losses[-1] == (4, 1.25)
    assert any("snapshot" in key for key in rows[0])


def test_mlflow_has_one_run_with_the_history_of_both_attempts(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    two_attempts("mlflow", tmp_path)
    from mlflow import MlflowClient

    client = MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("fpa").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "digits fpa seed 3"
    assert run.data.params["model.settings.painter.steps"] == "4"
    history = {n: client.get_metric_history(run.info.run_id, n) for n in ("fid", "loss")}
    points = {n: sorted((m.step, m.value) for m in found) for n, found in history.items()}
    # Stores refuse NaN in different ways: it is not sent.
    assert points == {"fid": [(0, 90.5), (4, 40.0)], "loss": [(2, 2.5), (4, 1.25)]}
    names = [file.path for file in client.list_artifacts(run.info.run_id, "snapshots")]
    assert names == ["snapshots/000000000.png", "snapshots/000000004.png"]


def test_an_unknown_logger_or_a_missing_package_is_said_before_anything_runs(small, tmp_path):
    small |= {"results": str(tmp_path / "results"), "data": str(tmp_path / "data")}
    small["runtime"]["loggers"] = ["tensorbord"]
    with pytest.raises(UserError, match=r"runtime\.loggers: unknown logger 'tensorbord'; did you"):
        check_before_start(Plan(small))
    LOGGERS.register("own", LoggerKind("own", "no_such_package", print))
    small["runtime"]["loggers"] = ["own"]
    with pytest.raises(UserError, match="no_such_package, which is not installed; `pip install"):
        check_before_start(Plan(small))


def test_a_folder_of_a_packages_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "made_up_service").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="made_up_service, which is not installed"):
        LoggerKind("own", "made_up_service", print).check("here")


def test_a_command_line_without_loggers_says_none():
    words = ["train", "run.json", "--store", "x", "--loggers"]
    assert make_parser().parse_args([*words, "none"]).loggers == []
    assert make_parser().parse_args([*words, "wandb,mlflow"]).loggers == ["wandb", "mlflow"]
