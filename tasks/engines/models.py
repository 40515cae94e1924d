"""Where a model's files are, and what identifies them: found and fingerprinted without loading any weights."""

import hashlib
import importlib
import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from overthink.tasks.closest import which
from overthink.tasks.engines.engine_config import ModelConfig, PrmModelConfig
from overthink.tasks.errors import EngineUnavailable

WHOLE_FILE_LIMIT = 64 * 2**20  # larger weight files are fingerprinted by header, size and samples of their bytes
SAMPLE_BYTES = 64 * 2**10
SAMPLES = 256
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json")
TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "special_tokens_map.json")
NO_WEIGHTS = ["config.json", "generation_config.json", *TOKENIZER_FILES, *TEMPLATE_FILES]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModelFiles:
    """A model's folder on this machine. `name` is its name in reports.

    `base` is the folder of another model, from which configuration and tokenizer come where the model has none.
    """

    name: str
    folder: Path
    base: Path | None = None

    def folder_of(self, *names: str) -> Path:
        """The folder of the first file that exists: the model's own folder or its base's."""
        if self.base is None or any((self.folder / name).exists() for name in names):
            return self.folder
        return self.base

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer and its chat template are."""
        return self.folder_of("tokenizer.json", "tokenizer.model", "vocab.json")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's config.json."""
        try:
            value = json.loads((self.folder_of("config.json") / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EngineUnavailable(
                f"{self.folder} holds no readable config.json: point `model` to a Hugging Face model, or name a PRM's "
                "`base`, whose configuration it has"
            ) from error
        return dict(value)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Digests of what determines the model's output: configuration, weights, tokenizer with its chat template."""
        return {
            "config": digest_of(
                [self.folder_of("config.json") / "config.json", self.folder / "generation_config.json"]
            ),
            "weights": digest_of(weights_in(self.folder)),
            "tokenizer": self.tokenizer_fingerprint,
        }

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """A digest of the tokenizer with its chat template."""
        return digest_of([self.tokenizer_folder / name for name in (*TOKENIZER_FILES, *TEMPLATE_FILES)])

    @cached_property
    def parameters(self) -> int | None:
        """The number of weights by the files' headers; None where there are no safetensors."""
        paths = list(self.folder.glob("*.safetensors"))
        return sum(math.prod(shape) for path in paths for shape in safetensors_shapes(path).values()) if paths else None


def locate_model(config: ModelConfig) -> ModelFiles:
    """Find a model: a local folder, one of the zoo, or a hub name in the local cache or (with a network) on the hub.

    Raises EngineUnavailable saying where it looked and what to do.
    """
    found = _locate("model", config.model, config.revision, None)
    if not isinstance(config, PrmModelConfig) or config.base is None:
        return found
    return replace(found, base=_locate("base", config.base, None, NO_WEIGHTS).folder)


def locate_tokenizer(name: str) -> ModelFiles:
    """Find the tokenizer of a model that is served elsewhere, in the places where `locate_model` looks; no weights.

    Raises EngineUnavailable saying where it looked and what to do.
    """
    return _locate("tokenizer", name, None, NO_WEIGHTS)


def _locate(key: str, model: str, revision: str | None, patterns: list[str] | None) -> ModelFiles:
    try:
        local = Path(model).expanduser()
        is_local = local.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # a name that no file can have, or nobody's home folder
        raise EngineUnavailable(f"{model[:80]!r} cannot be a model ({error}): check `{key}`") from error
    if is_local:
        return ModelFiles(local.resolve().name, local.resolve())
    place, _, name = model.partition("/")
    if place == "zoo":
        shipped = {path.parent.name: path.parent for path in Path(str(files("overthink.zoo"))).glob("*/config.json")}
        if name in shipped:
            return ModelFiles(name, shipped[name])
        raise EngineUnavailable(f"the zoo holds no model {name!r}: {which(name, sorted(shipped))}")
    if local.is_absolute() or model.startswith("."):
        raise EngineUnavailable(f"there is no model folder {model}: point `{key}` to one, or to a hub name")
    return ModelFiles(model.rpartition("/")[2], _hub_folder(key, model, revision, patterns))


def context_length(max_model_len: int | None, model: ModelFiles) -> int | None:
    """Tokens that a model reads, prompt and completion together, where that is known; the recipe may say less."""
    limit = max_model_len or model.config.get("max_position_embeddings")
    return None if limit is None else int(limit)


def _hub_folder(key: str, model: str, revision: str | None, patterns: list[str] | None) -> Path:
    hub = require("huggingface_hub", "pip install huggingface_hub")
    for offline in (True, False):
        try:
            found = hub.snapshot_download(model, revision=revision, local_files_only=offline, allow_patterns=patterns)
            return Path(found)
        except Exception as error:  # the hub's client raises many kinds; all mean that the files are not available
            reason = error
    raise EngineUnavailable(
        f"model {model!r} is no folder here, not in the hub's cache, and could not be fetched "
        f"({type(reason).__name__}): check the name, log in, or download it and point `{key}` to the folder"
    ) from reason


def require(package: str, remedy: str) -> Any:
    """Import a package that only some engines need. Raises EngineUnavailable with the command that installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise EngineUnavailable(f"this engine needs the package {package!r} ({error}): {remedy}") from error


def weights_in(folder: Path) -> list[Path]:
    """All files of weights. Raises EngineUnavailable where there are none."""
    found = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not found:
        kind = "only GGUF files, which a server may serve (docs/servers.md)" if [*folder.glob("*.gguf")] else "none"
        raise EngineUnavailable(
            f"{folder} holds no *.safetensors and no *.bin ({kind}): point `model` to a folder with weights"
        )
    return found


def digest_of(paths: list[Path]) -> str:
    """A digest of the names and contents of those files that exist."""
    total = hashlib.sha256()
    for path in paths:
        if path.exists():
            total.update(path.name.encode())
            total.update(_file_digest(path))
    return total.hexdigest()[:20]


def _file_digest(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= WHOLE_FILE_LIMIT:
            return hashlib.file_digest(stream, "sha256").digest()
        digest = hashlib.sha256(str(size).encode())
        for index in range(SAMPLES):
            stream.seek(index * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            digest.update(stream.read(SAMPLE_BYTES))
        return digest.digest()


def safetensors_shapes(path: Path) -> dict[str, Shape]:
    """The shapes in a file's header. Raises EngineUnavailable where the file is damaged."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header: dict[str, Any] = json.loads(stream.read(min(length, size)))
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
        whole = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        if size < whole:
            raise ValueError(f"{size:,} bytes of {whole:,}")
        return {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineUnavailable(
            f"{path} is no whole safetensors file ({error}): fetch it again; a few lines of text in its place are a "
            "pointer of Git LFS (`git lfs pull`)"
        ) from error
