"""The tensors of a TorchScript archive, without running it.

`torch.jit.load` compiles and runs the code in such a file. Here only its pickle of tensors is read, by
an unpickler that knows tensors and lists, and takes every other class for a bag of attributes.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fpa.core.errors import UserError

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


class _Module:
    """A module of the archive: nothing but its attributes."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


def state_dict(path: Path) -> dict[str, Tensor]:
    """All tensors of the archive's module by their names, on the CPU.

    UserError for a file that is no such archive, or that holds anything but modules, tensors, lists
    and plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = (n for n in archive.namelist() if n.count("/") == 1 and _is_data(n))
            folder = pickled.partition("/")[0]
            root = _Unpickler(archive, folder, archive.read(pickled)).load()
    except (
        *(zipfile.BadZipFile, pickle.UnpicklingError, ValueError, KeyError, EOFError),
        *(TypeError, AttributeError, IndexError, RuntimeError, OSError),
    ) as error:
        raise UserError(f"{path} is no TorchScript archive of weights: {error}") from error
    found: dict[str, Tensor] = {}
    _gather(root, "", found)
    return found


def _is_data(name: str) -> bool:
    return name.endswith("/data.pkl")


def _gather(module: Any, prefix: str, found: dict[str, Tensor]) -> None:
    for name, value in getattr(module, "attributes", {}).items():
        if isinstance(value, Tensor):
            found[prefix + name] = value
        elif isinstance(value, _Module):
            _gather(value, f"{prefix}{name}.", found)


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        known: dict[tuple[str, str], Any] = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("collections", "OrderedDict"): OrderedDict,
            **{("torch.jit._pickle", name): list for name in LISTS},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not str(key).isdigit():
            raise pickle.UnpicklingError("it holds something that is no tensor")
        # A copy, because what a zip gives cannot be written to.
        data = bytearray(self.archive.read(f"{self.folder}/data/{key}"))
        if len(data) < count * dtype.itemsize:
            raise pickle.UnpicklingError(f"its tensor {key} is cut off")
        return torch.frombuffer(data, dtype=dtype, count=count) if count else torch.empty(0)


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)
