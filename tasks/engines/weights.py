"""Checks, before loading, that a checkpoint holds exactly the weights that its architecture needs.

Both engines rest on this: transformers fills what it lacks with random numbers, and vLLM may leave it as it was in
memory. Names and shapes come from the files' headers. transformers itself says what it would miss: it is given tensors
of these shapes on its device without memory, so a model of any size takes a second.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from overthink.tasks.engines.checkpoint import stored_shapes
from overthink.tasks.engines.models import ModelFiles, Shape, require
from overthink.tasks.errors import EngineUnavailable

logger = logging.getLogger(__name__)

INSTALL = "pip install torch transformers accelerate"
LM_HEAD = "lm_head"
LANGUAGE_MODEL = (f"{LM_HEAD}.weight",)  # the head of every policy
# What wrappers write before the names of the model that they wrap: TRL's value heads, PEFT, DDP, torch.compile.
WRAPPERS = re.compile(r"^(?:(?:pretrained_model|base_model\.model|module|_orig_mod)\.)+")
COMPUTED = re.compile(r"(^|\.)rotary_emb\.inv_freq$|\.attn\.(masked_)?bias$")  # buffers that old versions saved
NAMED = 4  # names in a message, the rest being counted
SAVE_BARE = "save the model that it wraps, or leave the wrapper's name out of the keys"


class Architecture:
    """A model's class as transformers knows it, without weights."""

    def __init__(self, model: ModelFiles, trust_remote_code: bool) -> None:
        self._torch = require("torch", INSTALL)
        self.config = transformers_config(model, trust_remote_code)
        transformers = require("transformers", INSTALL)
        with self._torch.device("meta"):
            self._body = transformers.AutoModel.from_config(self.config, trust_remote_code=trust_remote_code)

    @property
    def name(self) -> str:
        """Its name in transformers."""
        return type(self._body).__name__

    @property
    def is_quantised(self) -> bool:
        """Whether its weights have other names and shapes than the body's."""
        return getattr(self.config, "quantization_config", None) is not None

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Those of the body's own weights, before any conversion."""
        return {name: tuple(tensor.shape) for name, tensor in self._body.state_dict().items()}

    def missed(self, shapes: Mapping[str, Shape]) -> dict[str, list[str]]:
        """What transformers says of a body of these weights, by kind: missing, unused, of another shape."""
        tensors = {name: self._torch.empty(shape, device="meta") for name, shape in shapes.items()}
        _, said = type(self._body).from_pretrained(
            None,
            config=self.config,
            state_dict=tensors,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            device_map="meta",
        )
        unlike = [f"{name} {tuple(there)} for {tuple(wanted)}" for name, there, wanted in said["mismatched_keys"]]
        return {"missing": [*said["missing_keys"]], "unused": [*said["unexpected_keys"]], "unlike": unlike}


def transformers_config(model: ModelFiles, trust_remote_code: bool) -> Any:
    """transformers' configuration. One that comes from a base has the vocabulary of the checkpoint's embedding."""
    require("torch", INSTALL)
    transformers = require("transformers", INSTALL)
    transformers.logging.set_verbosity_error()  # what it would report is ours to tell
    transformers.logging.disable_progress_bar()
    folder = model.folder_of("config.json")
    config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    if folder != model.folder:
        rows = [shape[0] for name, shape in stored_shapes(model.folder).items() if name.endswith("embed_tokens.weight")]
        config.vocab_size = rows[0] if rows else config.vocab_size
    return config


def check_weights(
    model: ModelFiles, head: tuple[str, ...] | None, unwraps: bool, trust_remote_code: bool = False
) -> None:
    """Raise EngineUnavailable, naming them, where weights of the body or of the `head` are not there, or not used.

    Without a head (None) it is the body that counts, whatever stands on it.

    `unwraps` is whether the engine takes the names that a wrapper around the model wrote.
    """
    _check(model, head, unwraps, trust_remote_code, str(model.fingerprint))


@lru_cache(maxsize=64)  # a sweep asks about the same few models for each of its runs
def _check(model: ModelFiles, head: tuple[str, ...] | None, unwraps: bool, trust_remote_code: bool, _: str) -> None:
    folder, stored = model.folder, stored_shapes(model.folder)
    wrapped = sorted(name for name in stored if WRAPPERS.match(name))
    if wrapped and not unwraps:
        raise EngineUnavailable(
            f"the keys of {folder} are a wrapper's ({listed(wrapped)}), which only PRMs in torch may have: {SAVE_BARE}"
        )
    shapes = {WRAPPERS.sub("", name): shape for name, shape in stored.items()}
    twice = [name for name, count in Counter(WRAPPERS.sub("", name) for name in stored).items() if count > 1]
    if twice:
        raise EngineUnavailable(f"{folder} holds weights twice, bare and in a wrapper: {listed(twice)}; {SAVE_BARE}")
    found = _faults(model, shapes, head, unwraps, trust_remote_code)
    told = {"missing": "lacks", "unused": "holds what nothing uses,", "unlike": "holds weights of another shape,"}
    faults = [f"{told[kind]} {listed(names)}" for kind, names in found.items() if names]
    if faults:
        raise EngineUnavailable(
            f"{folder} {'; '.join(faults)}: it would compute with other weights than were saved; fetch it again, or "
            "mend the names of its keys"
        )


def _faults(
    model: ModelFiles,
    shapes: Mapping[str, Shape],
    head: tuple[str, ...] | None,
    own_engine: bool,
    trust_remote_code: bool,
) -> dict[str, list[str]]:
    """Names of weights by what is wrong with them: missing, unused, of another shape ("unlike")."""
    names = head or ()
    heads = (*(name.rpartition(".")[0] + "." for name in names), f"{LM_HEAD}.")
    body = {name: shape for name, shape in shapes.items() if not name.startswith(heads) and not COMPUTED.search(name)}
    try:
        architecture = Architecture(model, trust_remote_code)
        if architecture.is_quantised:
            return _quantised_faults(architecture, body)
        found = architecture.missed(body)
    except (ValueError, KeyError, ImportError) as error:  # transformers does not know it; vLLM may
        if own_engine:
            raise EngineUnavailable(f"transformers cannot load {model.folder}: {error}") from error
        logger.warning("%s: transformers does not know it, so only vLLM checks its weights: %s", model.folder, error)
        return {}
    except RuntimeError as error:  # weights that are not there in full cannot be converted
        reason = " ".join(str(error).split())
        raise EngineUnavailable(f"the weights of {model.folder} do not fit each other: {reason}") from error
    if head is None:
        return found | {"unused": []}
    on_top = _head_faults(architecture.config.get_text_config(), shapes, head)
    return {kind: [*found[kind], *on_top.get(kind, [])] for kind in found}


def _head_faults(config: Any, shapes: Mapping[str, Shape], head: tuple[str, ...]) -> dict[str, list[str]]:
    """Faults of linear layers, in order: missing ones, else those whose input size differs from the output before."""
    tied = LANGUAGE_MODEL if config.tie_word_embeddings else ()
    missing = [name for name in head if name not in shapes and name not in tied]
    if missing:
        return {"missing": missing}
    unlike, width = [], config.hidden_size
    for name, shape in ((name, shapes[name]) for name in head if name in shapes):
        wanted = (shape[0], width) if name.endswith("weight") else (width,)
        if shape != wanted:
            unlike.append(f"{name} {shape} for {wanted}")
        width = shape[0]
    return {"unlike": unlike}


def _quantised_faults(architecture: Architecture, shapes: Mapping[str, Shape]) -> dict[str, list[str]]:
    """Faults of quantised weights; only their modules can be checked, because names and shapes differ."""
    modules = {_bare(name).rpartition(".")[0] for name in architecture.shapes}
    stored = {name: _bare(name) for name in shapes}
    there = {place for name in stored.values() for place in _places(name)}
    if not modules & there:
        return {}  # in names of another scheme, which the engine converts
    missing = sorted(modules - there)
    unused = sorted(name for name, bare in stored.items() if not modules.intersection(_places(bare)))
    return {"missing": missing, "unused": unused}


def _bare(name: str) -> str:
    return name.removeprefix("model.")


def _places(name: str) -> Iterable[str]:
    """All modules that contain a weight."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def listed(names: list[str]) -> str:
    """The first of some names, and how many there are."""
    shown = ", ".join(sorted(names)[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more ({len(names)} in all)"
