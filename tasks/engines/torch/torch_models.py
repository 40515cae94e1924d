"""PRMs' weights in torch: the body from transformers, the head our own, so no remote code is ever run."""

from typing import Any

from overthink.tasks.engines.checkpoint import stored_tensors
from overthink.tasks.engines.engine_config import ModelConfig
from overthink.tasks.engines.models import ModelFiles, require
from overthink.tasks.engines.prm.families import Head
from overthink.tasks.engines.prm.layouts import single_token
from overthink.tasks.engines.weights import LM_HEAD, WRAPPERS, listed, transformers_config
from overthink.tasks.errors import EngineUnavailable

INSTALL = "pip install torch transformers accelerate"
EMBEDDINGS = ("model.embed_tokens.", "embed_tokens.")


def device_of(torch: Any, config: ModelConfig) -> str:
    """Where the model runs: the recipe's first GPU where there is one, else the CPU."""
    return f"cuda:{next(iter(config.placement.gpus), 0)}" if torch.cuda.is_available() else "cpu"


def load_body(torch: Any, config: ModelConfig, model: ModelFiles, device: str) -> Any:
    """The model without its head, ready to run. Its `last_hidden_state` is (prompts, tokens, hidden size).

    Its weights have been checked (`check_weights`). Raises EngineUnavailable where it cannot be loaded.
    """
    transformers = require("transformers", INSTALL)
    dtype = model.config.get("dtype", "float32") if config.dtype == "auto" else config.dtype
    try:
        body, said = transformers.AutoModel.from_pretrained(
            str(model.folder),
            config=transformers_config(model, config.trust_remote_code),
            dtype=getattr(torch, dtype),
            # This attention keeps its logits in float32, as vLLM's does; the plain one rounds them to the body's dtype.
            attn_implementation="sdpa",
            key_mapping={WRAPPERS.pattern: ""},
            trust_remote_code=config.trust_remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise EngineUnavailable(f"transformers cannot load {model.folder}: {' '.join(str(error).split())}") from error
    if said["missing_keys"]:
        raise EngineUnavailable(f"{model.folder} lacks {listed([*said['missing_keys']])}: fetch it again")
    return body.eval().to(device)


def load_head(torch: Any, head: Head, model: ModelFiles, tokenizer: Any, device: str) -> Any:
    """The head as a module from (places, hidden size) to (places,) scores in [0, 1].

    It runs in float32 whatever the body's dtype, as in vLLM. Raises EngineUnavailable where weights are missing.
    """
    stored = _tensors(model, tuple(f"{layer}." for layer in head.layers))
    if head.layers == (LM_HEAD,) and not stored:  # tied to the embedding, else it would have been missed
        stored = {f"{LM_HEAD}.weight": weight for weight in _tensors(model, EMBEDDINGS).values()}
    missing = [f"{name}.weight" for name in head.layers if f"{name}.weight" not in stored]
    if missing:
        raise EngineUnavailable(f"{model.folder} lacks the PRM head's weights {missing}")
    layers: list[Any] = []
    for name in head.layers:
        weight, bias = stored[f"{name}.weight"], stored.get(f"{name}.bias")
        if head.tokens is not None:
            weight = weight[[single_token(tokenizer, token) for token in head.tokens]]
        layers += [torch.nn.ReLU()] if layers else []
        layers.append(torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None))
        layers[-1].load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    outputs = layers[-1].out_features
    if outputs not in (1, 2):
        raise EngineUnavailable(f"the head of {model.folder} gives {outputs} numbers: a PRM's gives 1 or 2")
    return torch.nn.Sequential(*layers).to(device=device, dtype=torch.float32).eval()


def tensor_of(rows: list[list[float]]) -> Any:
    """The head's output that plain numbers are, (places, 1 or 2); without rows either width would do."""
    width = len(rows[0]) if rows else 1
    return require("torch", INSTALL).tensor(rows).reshape(len(rows), width)


def scores_of(logits: Any) -> list[float]:
    """Scores in [0, 1] from the head's output, (places, 1) or (places, 2)."""
    chosen = logits.sigmoid()[:, 0] if logits.shape[1] == 1 else logits.softmax(-1)[:, 1]
    return list(chosen.tolist())


def _tensors(model: ModelFiles, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """The weights whose names, without a wrapper's, begin in one of some ways."""
    found = stored_tensors(model.folder, lambda name: WRAPPERS.sub("", name).startswith(prefixes))
    return {WRAPPERS.sub("", name): tensor for name, tensor in found.items()}
