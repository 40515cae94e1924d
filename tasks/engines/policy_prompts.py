"""Questions as a policy's prompt tokens, without the engine."""

from collections.abc import MutableMapping
from functools import partial

from cachetools import LRUCache

from overthink.tasks.domains.known_domains import domain_of
from overthink.tasks.domains.prompts import KnownStyle, Message, known_style
from overthink.tasks.engines.chat import (
    chat_frame,
    encode_chat,
    encode_further,
    encode_given,
    encode_text,
    encode_turn,
    load_tokenizer,
    puts_blank,
)
from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, PolicyConfig, VllmPolicyConfig
from overthink.tasks.engines.models import ModelFiles, locate_model, locate_tokenizer
from overthink.tasks.engines.templates import TemplateUse
from overthink.tasks.records import Part, Sample, UserTurn

TokenPolicyConfig = VllmPolicyConfig | OpenAIPolicyConfig
TURN = "\x1e"  # the record separator, between the turns of a whole chat
KEPT_CHATS = 4096  # a verifier asks about each chat a few times, one after another


class PolicyPrompts:
    """Questions as prompt tokens: also for checking that every problem fits before any is sampled.

    `version` is that of the prompts' tokens, for stages' keys, and `further_version` that of `tokens`. `opening` is
    what stands behind the user's message: its end, and the beginning of the assistant's turn with the prefill. Raises
    EngineUnavailable where the model has no chat template, or one that cannot write what the recipe asks.
    """

    def __init__(self, config: TokenPolicyConfig, model: ModelFiles) -> None:
        self.tokenizer = load_tokenizer(model, config.trust_remote_code)
        # Models often have a few more rows than their tokenizer has tokens.
        rows = (model.config.get("text_config") or model.config).get("vocab_size") or 0
        self.vocabulary = max(len(self.tokenizer), int(rows))
        self._chat = partial(chat_of, config, model)
        self._use = TemplateUse(config.prompt.variables, config.prompt.prefill or "")
        self._variables = config.prompt.variables
        frame = chat_frame(self.tokenizer, self._chat(""), self._use)
        self.version, self.opening = frame.version, frame.around[-1]
        self.further_version = 2 if puts_blank(self.tokenizer) else 1
        self.seeded = config.reproducible == "run"
        self._known: MutableMapping[str, tuple[int, ...]] = LRUCache(KEPT_CHATS) if config.in_turns else {}
        self._given: dict[str, tuple[int, ...]] = {}

    def prompt(self, question: str) -> tuple[int, ...]:
        """The prompt's token ids, the same for every call about this question."""
        if (known := self._known.get(question)) is not None:
            return known
        prompt = self._known[question] = tuple(encode_chat(self.tokenizer, self._chat(question), use=self._use))
        return prompt

    def tokens(self, text: str, begins: bool) -> tuple[int, ...]:
        """The token ids of text from outside, which `begins` the assistant's turn or continues it."""
        encode = encode_text if begins and not self._use.prefill else encode_further
        return tuple(encode(self.tokenizer, text))

    def tokens_of(self, part: Part) -> tuple[int, ...]:
        """See `Policy.tokens_of`; given text is the recipe's, so that marks in it are marks."""
        if isinstance(part, Sample):
            return part.tokens
        if isinstance(part, UserTurn):
            return self._turn(part)
        if part.text not in self._given:
            self._given[part.text] = tuple(encode_given(self.tokenizer, part.text))
        return self._given[part.text]

    def _turn(self, turn: UserTurn) -> tuple[int, ...]:
        """The end of the answer before, unless the policy wrote it, the message, and the opening of the next answer."""
        tokens, (message,) = encode_turn(self.tokenizer, turn.text, TemplateUse(self._variables))
        closing = tokens[:message]
        return tuple(tokens[closing.index(turn.behind) + 1 :] if turn.behind in closing else tokens)


def chat_of(config: TokenPolicyConfig, model: ModelFiles | None, question: str) -> list[Message]:
    """The chat that puts a text to a policy, in the words of its domain unless the recipe has its own."""
    asked = config.prompt
    if config.in_turns:
        return chat_in_turns(asked.system, question)
    (*before, user) = domain_of(config.domain).messages(question, style_of(config, model), asked.system)
    return [*before, *asked.shots, user if asked.user is None else {"role": "user", "content": question}]


def chat_in_turns(system: str | None, turns: str) -> list[Message]:
    """A whole chat, of turns with TURN between them: the user's and the assistant's by turns."""
    chat: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for place, turn in enumerate(turns.split(TURN)):
        chat.append({"role": "assistant" if place % 2 else "user", "content": turn})
    return chat


def style_of(config: TokenPolicyConfig, model: ModelFiles | None) -> KnownStyle:
    """How a question is put to a policy; without files only the policy's name is known."""
    if model is None:
        return known_style(config.prompt.style, config.model, "llama")
    return known_style(config.prompt.style, model.name, str(model.config.get("model_type")))


def files_of_prompts(config: PolicyConfig) -> ModelFiles | None:
    """The files that say how a policy is prompted; None for one whose prompts are no tokens that we know.

    Raises EngineUnavailable where they cannot be found.
    """
    if isinstance(config, VllmPolicyConfig):
        return locate_model(config)
    if isinstance(config, OpenAIPolicyConfig) and config.tokenizer is not None:
        return locate_tokenizer(config.tokenizer)
    return None
