"""The requests and results of methods.

A method is a generator: it yields batches, is sent the replies in the same order, and returns an Outcome. A batch holds
requests to the engines and further such generators, which run concurrently; the reply of a generator is its return
value. A method has no clock, random state or engine, so the same replies always give the same outcome, in whatever
order they arrive.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, Union

from overthink.tasks.methods.tree import Node
from overthink.tasks.programs import Limits, Program, ProgramOutcome
from overthink.tasks.records import Part, Rollout, Sample, Sampling, Scores, Unscored


@dataclass(frozen=True)
class Generate:
    """Ask the policy to continue `path` (the parts so far; empty at the question) with one sample.

    Requests with the same path and sampling differ by `sample_index`: the same index is the same draw.
    """

    path: tuple[Part, ...]
    sample_index: int
    sampling: Sampling


@dataclass(frozen=True)
class Score:
    """Ask the PRM for the scores of `steps[from_step:]`, given the steps before; Unscored where they do not fit."""

    steps: tuple[str, ...]
    from_step: int
    sample_index: int


@dataclass(frozen=True)
class Execute:
    """Ask the sandbox what becomes of a program of this sample that reads `stdin`.

    The same program, input and limits of one sample are one call: a batch does not hold two of it.
    """

    program: Program
    stdin: str
    limits: Limits
    sample_index: int


@dataclass(frozen=True)
class Ask:
    """Ask the model under a verifier to go on with `path` in a chat whose turns are user's and assistant's by turns.

    Requests that are otherwise alike differ by `draw`. With `forced` it writes the first token of that text, whatever
    its probability is, which is then known.
    """

    turns: tuple[str, ...]
    path: tuple[Part, ...]
    sampling: Sampling
    sample_index: int
    draw: int
    forced: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A method's rollouts, by ascending sample index, and its tree, if any."""

    rollouts: tuple[Rollout, ...]
    nodes: tuple[Node, ...] = ()


Request = Generate | Score | Execute | Ask
Reply = Sample | Scores | Unscored | ProgramOutcome
Result = TypeVar("Result")
Search: TypeAlias = Generator[Sequence[Union[Request, "Search[Any]"]], Sequence[Any], Result]
Method: TypeAlias = Search[Outcome]


def expect_samples(replies: Sequence[Any]) -> list[Sample]:
    """The replies to Generate requests. Raises TypeError where the driver sent something else."""
    samples = [reply for reply in replies if isinstance(reply, Sample)]
    if len(samples) != len(replies):
        raise TypeError("a Generate request was answered with something else than a sample")
    return samples


def expect_scores(replies: Sequence[Any]) -> list[Scores | Unscored]:
    """The replies to Score requests. Raises TypeError where the driver sent something else."""
    scores = [reply for reply in replies if isinstance(reply, Scores | Unscored)]
    if len(scores) != len(replies):
        raise TypeError("a Score request was answered with something else than scores")
    return scores
