"""The contents of a checkpoint's files: names and shapes from their headers, and single tensors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overthink.tasks.engines.models import Shape, require, safetensors_shapes, weights_in
from overthink.tasks.errors import EngineUnavailable

BESIDE = ("value_head.safetensors", "value_head.bin")  # separate files, in which some trainers write heads
KINDS = ("model.safetensors", "pytorch_model.bin")  # the first that exists, as one file or by its index, is the model


def weight_files(folder: Path) -> list[Path]:
    """The files that engines load: all in the index, or the only one; and a separate head's.

    Raises EngineUnavailable where there is none, or where a file of the index is missing.
    """
    for kind in KINDS:
        index = folder / f"{kind}.index.json"
        if (folder / kind).exists():
            names = {kind}
        elif index.exists():
            names = _indexed(index)
        else:
            continue
        lost = sorted(name for name in names if not (folder / name).exists())
        if lost:
            raise EngineUnavailable(f"{folder} lacks {', '.join(lost)}, which its {index.name} lists: fetch it again")
        return [folder / name for name in [*sorted(names), *(name for name in BESIDE if (folder / name).exists())]]
    return weights_in(folder)  # vLLM loads all that exist


def _indexed(index: Path) -> set[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise ValueError("a shard is no file's name")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineUnavailable(f"{index} is not an index of weights ({error}): fetch it again") from error
    return names


def stored_shapes(folder: Path) -> dict[str, Shape]:
    """The shape of every weight, by its name in the files. Raises EngineUnavailable where a file is damaged."""
    shapes: dict[str, Shape] = {}
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            shapes |= safetensors_shapes(path)
        else:
            shapes |= {name: tuple(tensor.shape) for name, tensor in _torch_file(path).items()}
    return shapes


def stored_tensors(folder: Path, wanted: Callable[[str], bool]) -> dict[str, Any]:
    """The weights whose names are `wanted`, by their names in the files."""
    safetensors = require("safetensors", "pip install safetensors")
    found: dict[str, Any] = {}
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            with safetensors.safe_open(str(path), framework="pt") as shard:
                found |= {name: shard.get_tensor(name) for name in shard.keys() if wanted(name)}  # noqa: SIM118
        else:
            found |= {name: tensor for name, tensor in _torch_file(path).items() if wanted(name)}
    return found


def _torch_file(path: Path) -> dict[str, Any]:
    """A torch file, memory-mapped: its tensors stay on the disk until they are read."""
    torch = require("torch", "pip install torch")
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
    except Exception as error:  # an invalid pickle can raise any exception
        raise EngineUnavailable(
            f"{path} is not a complete torch file ({type(error).__name__}): fetch it again"
        ) from error
