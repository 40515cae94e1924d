"""The protocols of engines."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from overthink.tasks.methods.requests import Ask, Score, Search
from overthink.tasks.programs import Limits, Program, ProgramOutcome
from overthink.tasks.records import Part, Sample, Sampling, Scores, Unscored


class Policy(Protocol):
    """A model that writes solutions."""

    def prompt(self, question: str) -> tuple[int, ...]:
        """The prompt's token ids for a question, exactly as they are sent."""
        ...

    def tokens(self, text: str, begins: bool) -> tuple[int, ...]:
        """Token ids of text that the policy is to continue as if it had written it.

        The text `begins` the policy's answer, or continues it.
        """
        ...

    def tokens_of(self, part: Part) -> tuple[int, ...]:
        """The token ids of a part of a path: a sample's own; those of given text, in which marks are the marks' tokens.

        Raises BadReply where the policy cannot go on from it.
        """
        ...

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        """One continuation of the question's prompt and the parts in `path`, whose tokens are sent unchanged.

        Raises EngineDied where the engine stopped, BadReply where its reply is invalid.
        """
        ...

    async def close(self) -> None:
        """Give back what the engine holds."""
        ...


@runtime_checkable
class CachedPolicy(Protocol):
    """A policy whose engine keeps keys and values of what it has read and written."""

    @property
    def cache_tokens(self) -> int | None:
        """The tokens that its cache holds, of all copies together; None where that is unknown."""
        ...


class Prm(Protocol):
    """A process reward model."""

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """One number in [0, 1] for each of `steps[from_step:]`.

        Raises EngineDied where the engine stopped, PromptTooLong where the prompt does not fit, BadReply where the
        scores do not.
        """
        ...

    async def close(self) -> None:
        """Give back what the engine holds."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """A PRM that writes before it judges: its scores come of what a model writes, call by call."""

    def judge(self, question: str, asked: Score) -> Search[Scores | Unscored]:
        """A search for the scores, whose requests are those of one critique after another (`Ask`)."""
        ...

    def tokens_of(self, asked: Ask) -> Iterator[tuple[int, ...]]:
        """The token ids of a request's prompt and path, part by part."""
        ...

    async def write(self, asked: Ask, seed: int) -> Sample:
        """What the model writes on. Raises EngineDied, BadReply, and PromptTooLong where the prompt does not fit."""
        ...

    async def close(self) -> None:
        """Give back what the engine holds."""
        ...


AnyPrm = Prm | Verifier


class Sandbox(Protocol):
    """Runs programs where they can do no harm."""

    def identity(self) -> dict[str, str]:
        """What outcomes depend on beside the program: the interpreter, and what it runs in."""
        ...

    async def execute(self, program: Program, stdin: str, limits: Limits) -> ProgramOutcome:
        """What becomes of a program that reads `stdin`. It finds no files but its interpreter's, and no network.

        Raises EngineDied where it could not be begun.
        """
        ...

    async def close(self) -> None:
        """Give back what the engine holds."""
        ...
