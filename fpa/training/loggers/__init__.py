"""Services that a training's history and snapshots can be sent to. Nothing here imports one of them."""

from fpa.training.loggers.base import LOGGERS, Beginning, Logger, LoggerKind

__all__ = ["LOGGERS", "Beginning", "Logger", "LoggerKind"]

LOGGERS.register(
    "tensorboard",
    LoggerKind("tensorboard", "tensorboard", "fpa.training.loggers.tensorboard:TensorBoard"),
)
LOGGERS.register("wandb", LoggerKind("wandb", "wandb", "fpa.training.loggers.wandb:WandB"))
LOGGERS.register("mlflow", LoggerKind("mlflow", "mlflow", "fpa.training.loggers.mlflow:MLflow"))
