"""From a recipe's engine to the engine itself: its identity without loading, and loading."""

import asyncio
import json
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

from overthink.storage.keys import content_key
from overthink.tasks.determinants import determinants
from overthink.tasks.engines.engine_config import (
    AskedPolicy,
    AutoPrmConfig,
    FakePolicyConfig,
    FakePrmConfig,
    ModelConfig,
    OpenAIPolicyConfig,
    PolicyConfig,
    PrmModelConfig,
    ScriptedConfig,
    ServedPrmConfig,
    TorchPrmConfig,
    VllmPolicyConfig,
    VllmPrmConfig,
)
from overthink.tasks.engines.engine_protocol import AnyPrm, Policy
from overthink.tasks.engines.lora import Adapter
from overthink.tasks.engines.models import ModelFiles, locate_model, locate_tokenizer
from overthink.tasks.engines.policy_prompts import PolicyPrompts, chat_of
from overthink.tasks.engines.prm.families import VLLM_HEADS, family_of, layout_of
from overthink.tasks.engines.prm_config import EngineConfig, FakeCriticConfig, GenerativePrmConfig, PrmConfig
from overthink.tasks.engines.vllm.engine_args import changing_outputs
from overthink.tasks.engines.weights import LANGUAGE_MODEL, check_weights
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.reasoning_marks import FAMILIES

NOT_IDENTITY = {"placement", "model", "script", "base", "system_prompt", "lora", "reproducible"}
WHERE_SERVED = {
    "endpoints",
    "tokenizer",
    "system_prompt",
    "trust_remote_code",
    "api_key_env",
    "api_key_block",
    "timeout_seconds",
    "patience_seconds",
    "max_in_flight",
    "reproducible",
}


@dataclass(frozen=True)
class ChatForm:
    """How a policy's prompts are written: its template, and what it writes behind the question.

    A chat `endpoint` writes them itself; reasoning that it returns apart stands between the marks of its `template`.
    """

    template: str
    opening: str
    is_endpoint: bool = False


MARKED = FAMILIES["think"].open + FAMILIES["think"].close
BY_CHAT = ChatForm(MARKED, "", is_endpoint=True)


@dataclass(frozen=True)
class EngineIdentity:
    """What an engine's output depends on, for stage keys; its name and size, for reports.

    `further` is what the output also depends on where the engine continues given text. `chat` is of policies with
    prompts of ours, and `writes_critiques` is true of verifiers.
    """

    name: str
    parameters: int | None
    determinants: dict[str, Any]
    further: dict[str, Any] = field(default_factory=dict)
    chat: ChatForm | None = None
    writes_critiques: bool = False

    @property
    def address(self) -> str:
        """The name with a digest, so that engines of one name with different weights or settings differ."""
        return f"{self.name}@{content_key(self.determinants)[:8]}"


def identify(config: EngineConfig) -> EngineIdentity:
    """Identify an engine without loading it. Raises EngineUnavailable where its model or script cannot be found."""
    config = chosen_engine(config)
    if isinstance(config, GenerativePrmConfig):
        return _identify_generative(config)
    if isinstance(config, OpenAIPolicyConfig | ServedPrmConfig):
        return _identify_served(config)
    settings = determinants(config, exclude=NOT_IDENTITY, mode="json")
    if isinstance(config, ModelConfig):
        model = locate_model(config)
        settings |= _said_to_vllm(config, settings.pop("engine_args", {}))
        prompts = _prompts(config, model)
        return EngineIdentity(
            model.name, model.parameters, settings | model.fingerprint | prompts.said, prompts.further, prompts.chat
        )
    if isinstance(config, ScriptedConfig):
        try:
            settings["script"] = config.script.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise EngineUnavailable(f"there is no readable script {config.script}: {error}") from error
    else:
        del settings["latency_ms"]
    thinks = isinstance(config, FakePolicyConfig) and config.thinks > 0
    chat = ChatForm(MARKED, "") if thinks else None
    return EngineIdentity(config.engine, None, settings | _said_to_fakes(config), chat=chat)


def _said_to_vllm(config: ModelConfig, arguments: dict[str, Any]) -> dict[str, Any]:
    """What determines outputs of its further arguments, and the adapter by its content."""
    said: dict[str, Any] = {"engine_args": found} if (found := changing_outputs(arguments)) else {}
    if isinstance(config, VllmPolicyConfig) and config.lora is not None:
        said["lora"] = Adapter.at(config.lora).fingerprint
    return said


def _said_to_fakes(config: EngineConfig) -> dict[str, Any]:
    """What a recipe says to a policy that is no model: of it the user's turn reaches it, as text."""
    said = config.prompt.model_dump(mode="json", exclude_defaults=True) if isinstance(config, AskedPolicy) else {}
    return {"prompt": said} if said else {}


def _identify_served(config: OpenAIPolicyConfig | ServedPrmConfig) -> EngineIdentity:
    """The identity of a served model: the recipe's description, and its visible parts, tokenizer and prompt."""
    settings = determinants(config, exclude=WHERE_SERVED, mode="json")
    tokenizer = None if config.tokenizer is None else locate_tokenizer(config.tokenizer)
    settings["tokenizer"] = None if tokenizer is None else tokenizer.tokenizer_fingerprint
    prompts = _prompts(config, tokenizer)
    return EngineIdentity(config.model.split("/")[-1], None, settings | prompts.said, prompts.further, prompts.chat)


def _identify_generative(config: GenerativePrmConfig) -> EngineIdentity:
    """The identity of a verifier: the model that writes, what it is asked, and how critiques are drawn and read."""
    model = identify(config.model_asked)
    settings = {
        "engine": config.engine,
        "family": asdict(config.critic_family),
        "critiques": config.critiques,
        "rounds": config.rounds,
        "sampling": dict(config.judging.sampling.identity),
        "verifier": model.determinants | model.further,
    }
    return EngineIdentity(f"{model.name}-{config.family}", model.parameters, settings, writes_critiques=True)


@dataclass(frozen=True)
class _Prompts:
    said: dict[str, Any] = field(default_factory=dict)
    further: dict[str, Any] = field(default_factory=dict)
    chat: ChatForm | None = None


def _prompts(config: EngineConfig, model: ModelFiles | None) -> _Prompts:
    """How a model is prompted, and how it receives text to continue; without its files only as messages.

    Our versions enter only above 1, so that unchanged prompts keep their keys.
    """
    if isinstance(config, VllmPolicyConfig | OpenAIPolicyConfig):
        asked = config.prompt.user or "{question}"
        said: dict[str, Any] = {"prompt_style": json.dumps(chat_of(config, model, asked))}
        said |= config.prompt.model_dump(include={"chat_template_kwargs", "prefill"}, exclude_defaults=True)
        if model is None:
            return _Prompts(said, chat=BY_CHAT)
        prompts = PolicyPrompts(config, model)
        said |= _version("prompt_tokens", prompts.version)
        chat = ChatForm(str(prompts.tokenizer.get_chat_template()), prompts.opening)
        return _Prompts(said, _version("further_tokens", prompts.further_version), chat)
    if isinstance(config, PrmModelConfig | ServedPrmConfig) and model is not None:
        layout, _ = layout_of(family_of(config.family), model, config.trust_remote_code)
        return _Prompts(_version("prompt_tokens", layout.version))
    return _Prompts()


def _version(name: str, version: int) -> dict[str, Any]:
    return {name: version} if version > 1 else {}


def chosen_engine(config: EngineConfig) -> EngineConfig:
    """The engine that `auto` stands for: vLLM where it is installed and can compute the family's head, else torch."""
    if not isinstance(config, AutoPrmConfig):
        return config
    served = find_spec("vllm") is not None and family_of(config.family).head.layers in VLLM_HEADS
    kind = VllmPrmConfig if served else TorchPrmConfig
    return kind(**config.model_dump(exclude={"engine"}))


def check_engine(config: EngineConfig) -> None:
    """Raise EngineUnavailable where an engine's weights are incomplete, or have names that it does not read.

    Loading would fail too, but perhaps hours later, after the stages before it.
    """
    match chosen_engine(config):
        case GenerativePrmConfig(verifier=model):
            check_engine(model)
        case VllmPolicyConfig() as config:
            check_weights(locate_model(config), LANGUAGE_MODEL, False, config.trust_remote_code)
        case PrmModelConfig() as config:
            head, is_torch = family_of(config.family).head, isinstance(config, TorchPrmConfig)
            check_weights(locate_model(config), head.weights, is_torch, config.trust_remote_code)


async def open_policy(config: PolicyConfig) -> Policy:
    """Load a policy. Raises EngineUnavailable, saying what is missing."""
    match config:
        case VllmPolicyConfig():
            from overthink.tasks.engines.vllm.vllm_policy import VllmPolicy

            return await VllmPolicy.open(config, locate_model(config))
        case OpenAIPolicyConfig():
            from overthink.tasks.engines.http.openai_policy import open_openai

            return await open_openai(config)
        case FakePolicyConfig():
            from overthink.tasks.engines.fakes.fake import FakePolicy

            return FakePolicy(config)
        case ScriptedConfig():
            from overthink.tasks.engines.fakes.scripted import ScriptedPolicy, read_script

            return ScriptedPolicy(read_script(config, "policy"))


async def open_prm(config: PrmConfig) -> AnyPrm:
    """Load a PRM. Raises EngineUnavailable, saying what is missing."""
    match chosen_engine(config):
        case VllmPrmConfig() as config:
            from overthink.tasks.engines.vllm.vllm_prm import VllmPrm

            return await VllmPrm.open(config, locate_model(config))
        case TorchPrmConfig() as config:
            from overthink.tasks.engines.torch.torch_prm import TorchPrm

            return await asyncio.to_thread(TorchPrm, config, locate_model(config))
        case ServedPrmConfig() as config:
            from overthink.tasks.engines.http.served_prm import ServedPrm

            return await ServedPrm.open(config, locate_tokenizer(config.tokenizer))
        case GenerativePrmConfig() as config:
            from overthink.tasks.engines.prm.generative_prm import GenerativePrm

            return GenerativePrm(await _open_verifier(config), config.judging)
        case FakePrmConfig() as config:
            from overthink.tasks.engines.fakes.fake import FakePrm

            return FakePrm(config)
        case ScriptedConfig() as config:
            from overthink.tasks.engines.fakes.scripted import ScriptedPrm, read_script

            return ScriptedPrm(read_script(config, "prm"))
        case other:
            raise AssertionError(f"{other} is no PRM")


async def _open_verifier(config: GenerativePrmConfig) -> Policy:
    match config.model_asked:
        case FakeCriticConfig() as model:
            from overthink.tasks.engines.fakes.fake_critic import FakeCritic

            return FakeCritic(model, config.critic_family)
        case ScriptedConfig() as model:
            from overthink.tasks.engines.fakes.scripted import ScriptedPolicy, read_script

            return ScriptedPolicy(read_script(model, "verifier"))
        case model:
            return await open_policy(model)
