"""How a recipe names its engines. Frozen, validated, and split into what determines an output and what does not."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StrictBool, field_validator, model_validator

from overthink.tasks.determinants import ADDED_LATER
from overthink.tasks.domains.known_domains import MATH, DomainName
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.domains.prompts import PromptStyle
from overthink.tasks.engines.prm.family_data import AnyPrmFamily
from overthink.tasks.engines.vllm.engine_args import check_engine_args

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class EngineModel(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __hash__(self) -> int:  # mappings within it have none
        return hash(self.model_dump_json())


class Placement(EngineModel):
    """Where an engine runs. It never changes what the engine computes, so it is in no stage's key."""

    gpus: tuple[int, ...] = Field(default=(), description="GPU ids; none means the default device")
    gpu_memory: float = Field(default=0.9, gt=0, le=1, description="share of each GPU's memory that the engine takes")
    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that one copy of the model is spread over")
    data_parallel: int = Field(default=1, ge=1, description="copies of the model, each with GPUs of its own")
    cpu_cache_gib: int = Field(default=2, ge=1, description="key-value cache on a CPU or in torch, GiB")
    batch_tokens: int = Field(default=8192, ge=1, description="tokens of one batch in torch, padding included")
    max_in_flight: int = Field(default=256, ge=1, description="requests inside one copy of the engine at once")

    @model_validator(mode="after")
    def _enough_gpus(self) -> Self:
        wanted = self.tensor_parallel * self.data_parallel
        if self.gpus and len(self.gpus) != wanted:
            raise ValueError(
                f"placement lists {len(self.gpus)} GPUs, but tensor_parallel × data_parallel = {wanted}: list {wanted}"
            )
        if len(set(self.gpus)) != len(self.gpus):
            raise ValueError("placement lists a GPU twice")
        return self

    @property
    def devices(self) -> tuple[int, ...]:
        """The GPU ids that are taken: those named, else the first ones."""
        return self.gpus or tuple(range(self.tensor_parallel * self.data_parallel))


class ModelConfig(EngineModel):
    """What every engine with real weights needs: a folder, a zoo name, or a hub name with its revision."""

    model: str = Field(min_length=1, description="a local folder, `zoo/NAME`, or a hub name")
    revision: str | None = Field(default=None, description="of a hub name: a commit, branch or tag")
    dtype: Dtype = Field(default="auto", description="of weights and computation; auto: what the checkpoint says")
    max_model_len: int | None = Field(default=None, ge=8, description="tokens of prompt and completion together")
    trust_remote_code: StrictBool = Field(default=False, description="run code that comes with the model")
    placement: Placement = Field(default=Placement(), description="where it runs; changes no result")


class AskedPolicy(EngineModel):
    """A policy that is asked as the recipe says: it names the domain and the prompt once, and keys hold the chat."""

    _domain: DomainName = PrivateAttr(MATH.name)
    _prompt: PromptConfig = PrivateAttr(PromptConfig())
    _in_turns: bool = PrivateAttr(False)

    @property
    def in_turns(self) -> bool:
        """Whether it is asked with whole chats, as the model under a verifier is (`chat_in_turns`)."""
        return self._in_turns

    @property
    def domain(self) -> DomainName:
        """The domain that words the prompts."""
        return self._domain

    @property
    def prompt(self) -> PromptConfig:
        """What is said to the policy."""
        return self._prompt

    def asked_by(self, domain: DomainName, prompt: PromptConfig) -> Self:
        """The same policy with the prompts of a recipe. Raises ValueError where both say the same thing."""
        asked = self.model_copy()
        asked._domain, asked._prompt = domain, prompt
        return asked

    def under_verifier(self, system: str | None) -> Self:
        """The same model under a verifier, whose family words the chats."""
        asked = self.model_copy()
        asked._prompt, asked._in_turns = PromptConfig(system=system), True
        return asked


class PromptedPolicy(AskedPolicy):
    """A policy whose prompts we write. `prompt_style` and `system_prompt` are older names of the recipe's `prompt`."""

    prompt_style: PromptStyle = Field(default="auto", description="older name of `prompt.style`")
    system_prompt: str | None = Field(default=None, min_length=1, description="older name of `prompt.system`")

    @property
    def prompt(self) -> PromptConfig:
        """What is said to the policy, whichever of the two places says it."""
        own = {"style": self.prompt_style, "system": self.system_prompt}
        said = {name: value for name, value in own.items() if value not in (None, "auto")}
        return self._prompt.model_copy(update=said) if said else self._prompt

    def asked_by(self, domain: DomainName, prompt: PromptConfig) -> Self:
        """See `AskedPolicy.asked_by`."""
        for own, name in (("prompt_style", "style"), ("system_prompt", "system")):
            if getattr(self, own) not in (None, "auto") and getattr(prompt, name) not in (None, "auto"):
                raise ValueError(f"{own} and the recipe's prompt.{name} say the same thing: leave out {own}")
        return super().asked_by(domain, prompt)


class SeededPolicy(PromptedPolicy):
    """A policy that may be given seeds. Draws without one have the same distribution, so no stage's key says which."""

    reproducible: Literal["run", "journal"] = Field(
        default="run",
        description="`run`: each request has a seed, and a fresh run on the same engine writes the same; `journal`: no "
        "seeds, only what was answered is written again",
    )


class VllmModelConfig(ModelConfig):
    """A model in vLLM, whose engine takes further arguments."""

    engine_args: Annotated[dict[str, Any], ADDED_LATER] = Field(
        default={}, description="passed on to vLLM's EngineArgs, such as quantization, kv_cache_dtype, hf_overrides"
    )

    @field_validator("engine_args")
    @classmethod
    def _passed_on(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        check_engine_args(arguments)
        return arguments


class VllmPolicyConfig(SeededPolicy, VllmModelConfig, title="vLLM, on this machine"):
    """A policy in vLLM, in its own process, which the run starts and ends."""

    engine: Literal["vllm"] = "vllm"
    lora: Annotated[str | None, ADDED_LATER] = Field(
        default=None, min_length=1, description="the folder of a LoRA adapter, as peft saves it"
    )


class PrmModelConfig(ModelConfig):
    """A PRM with real weights, and its family, which defines prompts and scores."""

    family: AnyPrmFamily = Field(default="qwen", description="how it is asked and read: a name, a file, or spelled out")
    base: str | None = Field(
        default=None,
        min_length=1,
        description="the model whose configuration and tokenizer a checkpoint without its own has (torch)",
    )


class VllmPrmConfig(PrmModelConfig, VllmModelConfig, title="vLLM, on this machine"):
    """A PRM in vLLM, where it can compute the family's head."""

    engine: Literal["vllm"] = "vllm"


class TorchPrmConfig(PrmModelConfig, title="torch, on this machine"):
    """A PRM in plain torch and transformers: every family, and the reference that the vLLM path is tested against."""

    engine: Literal["torch"] = "torch"


class AutoPrmConfig(PrmModelConfig, title="vLLM or torch, whichever can"):
    """A PRM in vLLM where that is installed and can compute the family's head, else in torch."""

    engine: Literal["auto"] = "auto"


class ServedModelConfig(EngineModel):
    """A model behind HTTP endpoints. Stages' keys hold what is said of the model here, but not where it is served.

    Overthink cannot see weights behind an endpoint: change `revision` when you change them under the same name.
    """

    model: str = Field(min_length=1, description="the name under which every endpoint serves it")
    revision: str | None = Field(default=None, description="your word for its weights and settings")
    endpoints: tuple[str, ...] = Field(min_length=1, description="base URLs, such as http://127.0.0.1:8000/v1")
    trust_remote_code: bool = Field(default=False, description="of the tokenizer")
    api_key_env: str | None = Field(
        default=None, pattern="^[A-Z_][A-Z0-9_]*$", description="the environment variable that holds the key"
    )
    api_key_block: str | None = Field(
        default=None, pattern="^[a-z0-9][a-z0-9-]*$", description="the Secret block of Prefect that holds the key"
    )
    timeout_seconds: float = Field(default=600, gt=0, description="for one request, queueing included")
    patience_seconds: float = Field(default=300, ge=0, description="how long a failing request is tried again")
    max_in_flight: int = Field(default=256, ge=1, description="requests at one endpoint at once, on average")

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key_env is not None and self.api_key_block is not None:
            raise ValueError("a key is in the environment or in a block: name api_key_env or api_key_block")
        return self

    @field_validator("endpoints")
    @classmethod
    def _plain_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("an endpoint is an http or https URL, such as http://127.0.0.1:8000/v1")
            if parts.username or parts.password or parts.query or parts.fragment:
                raise ValueError("an endpoint's URL holds no key, query or fragment: name the key's api_key_env")
        if len(set(urls)) != len(urls):
            raise ValueError("an endpoint is listed twice")
        return tuple(url.rstrip("/") for url in urls)


class OpenAIPolicyConfig(SeededPolicy, ServedModelConfig, title="OpenAI-compatible server"):
    """A policy behind OpenAI-compatible endpoints.

    With its tokenizer it is asked with token ids, as vLLM allows, and may be searched; without, through the chat
    endpoint, for whole solutions.
    """

    engine: Literal["openai"] = "openai"
    tokenizer: str | None = Field(default=None, min_length=1, description="a folder, a zoo name, or a hub name")
    max_model_len: int | None = Field(default=None, ge=8, description="tokens of prompt and completion together")

    def asked_by(self, domain: DomainName, prompt: PromptConfig) -> Self:
        """See `AskedPolicy.asked_by`. Raises ValueError too for a prefill by chat, which many servers would ignore."""
        if prompt.prefill is not None and self.tokenizer is None:
            raise ValueError(
                "prompt.prefill begins the assistant's turn, which a chat endpoint opens itself: serve the model with "
                "vLLM and name its `tokenizer`, or leave out prompt.prefill"
            )
        return super().asked_by(domain, prompt)


class ServedPrmConfig(ServedModelConfig, title="vLLM server"):
    """A PRM behind vLLM's pooling endpoint."""

    engine: Literal["vllm-server"] = "vllm-server"
    tokenizer: str = Field(min_length=1, description="a folder, a zoo name, or a hub name")
    family: AnyPrmFamily = Field(default="qwen", description="how it is asked and read: a name, a file, or spelled out")


class FakePolicyConfig(AskedPolicy, title="fake, without a model"):
    """A policy that writes text from a hash: deterministic, without weights, with a chosen latency."""

    engine: Literal["fake"] = "fake"
    steps: int = Field(default=4, ge=1, description="longest solution, in steps")
    answers: int = Field(default=3, ge=1, description="how many different answers it gives, 0 upward")
    thinks: Annotated[int, ADDED_LATER] = Field(default=0, ge=0, description="longest reasoning before it, in steps")
    latency_ms: float = Field(default=0, ge=0, description="milliseconds before each reply")


class FakePrmConfig(EngineModel, title="fake, without a model"):
    """A PRM whose scores are hashes of the steps: deterministic, without weights, with a chosen latency."""

    engine: Literal["fake"] = "fake"
    latency_ms: float = Field(default=0, ge=0, description="milliseconds before each reply")


class ScriptedConfig(AskedPolicy, title="script of replies"):
    """A policy or PRM that replies literally from a JSON file (see `tasks/engines/fakes/scripted.py`)."""

    engine: Literal["scripted"] = "scripted"
    script: Path = Field(description="the file")


PolicyConfig = Annotated[
    VllmPolicyConfig | OpenAIPolicyConfig | FakePolicyConfig | ScriptedConfig, Field(discriminator="engine")
]
