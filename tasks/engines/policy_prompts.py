"""Questions as a policy's prompt tokens, without the engine."""

from tasks.engines.chat import encode_chat, encode_text, load_tokenizer
from tasks.engines.config import OpenAIPolicyConfig, PolicyConfig, VllmPolicyConfig
from tasks.engines.models import ModelFiles, locate_model, locate_tokenizer
from tasks.problems.prompts import KnownStyle, known_style, messages

TokenPolicyConfig = VllmPolicyConfig | OpenAIPolicyConfig


class PolicyPrompts:
    """Questions as prompt tokens: also for checking that every problem fits before any is sampled."""

    def __init__(self, config: TokenPolicyConfig, model: ModelFiles) -> None:
        self.tokenizer = load_tokenizer(model, config.trust_remote_code)
        self._style = style_of(config, model)
        self._known: dict[str, tuple[int, ...]] = {}

    def prompt(self, question: str) -> tuple[int, ...]:
        """The prompt's token ids, the same for every call about this question."""
        if question not in self._known:
            self._known[question] = tuple(encode_chat(self.tokenizer, messages(self._style, question)))
        return self._known[question]

    def tokens(self, text: str) -> tuple[int, ...]:
        """The token ids of text from outside."""
        return tuple(encode_text(self.tokenizer, text))


def style_of(config: TokenPolicyConfig, model: ModelFiles | None) -> KnownStyle:
    """How a question is put to a policy; of one without files only the name is known."""
    if model is None:
        return known_style(config.prompt_style, config.model, "llama")
    return known_style(config.prompt_style, model.name, str(model.config.get("model_type")))


def context_length(config: TokenPolicyConfig, model: ModelFiles) -> int | None:
    """Tokens of prompt and completion together that the model reads, where that is known."""
    limit = config.max_model_len or model.config.get("max_position_embeddings")
    return None if limit is None else int(limit)


def files_of_prompts(config: PolicyConfig) -> ModelFiles | None:
    """The files that say how a policy is prompted; None for one whose prompts are no tokens that we know.

    Raises EngineUnavailable where they cannot be found.
    """
    if isinstance(config, VllmPolicyConfig):
        return locate_model(config)
    if isinstance(config, OpenAIPolicyConfig) and config.tokenizer is not None:
        return locate_tokenizer(config.tokenizer)
    return None
