"""Trees drawn by hand, and a driver without any I/O, for the tests of the search methods.

A tree is a dict from a path (its steps joined by "/", "" at the question) to the steps that the policy draws there,
each with the PRM's score of it:

    "a 0.9"   the step "a", ended by the delimiter
    "a. 0.9"  the same, ended by the end of the sequence
    "a~"      the same, cut by length
    "."       the end of the sequence straight after the path

Draw number i gets the i-th of them, round and round. What a repeated draw gets stands under "path retry 1" and so on,
where it differs; what is written greedily stands under "path greedy". A step without a score is never scored, or has
its score elsewhere in the tree; a path that is not in the tree is never gone on from.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Generic, Literal, Protocol, TypeAlias

from overthink.tasks.domains.math.extraction import is_final
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Generate, Method, Outcome, Request, Result, Score, Search
from overthink.tasks.records import Rollout, Sample, SampleStop, Sampling, Scores

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=64, stop=("\n\n",))
GROWTH = Growth(SAMPLING, max_depth=3, is_final=is_final)
RETRY = 1_000_000  # what the number of a repeated draw goes up by

Tree: TypeAlias = Mapping[str, Sequence[str]]
Pick: TypeAlias = Callable[[int], int]

STEP = re.compile(r"(?P<text>.*?)(?P<end>[.~]?)(?: (?P<score>\d\.\d+))?", re.DOTALL)
ENDS: dict[str, SampleStop] = {"": "delimiter", ".": "stop", "~": "length"}
END_TOKENS: dict[str, tuple[int, ...]] = {"delimiter": (1,), "stop": (2,), "length": ()}


class World(Protocol):
    """A policy and a PRM that always answer the same request in the same way."""

    def sample(self, request: Generate) -> Sample: ...

    def score(self, request: Score) -> Scores: ...


def written(text: str, stop_reason: SampleStop = "delimiter") -> Sample:
    """A sample with one token a character, and one for its end."""
    tokens = (*map(ord, text), *END_TOKENS[stop_reason])
    ends = tuple(min(index + 1, len(text)) for index in range(len(tokens)))
    return Sample(text, tokens, ends, (-0.5,) * len(tokens), stop_reason, 5)


def path_of(samples: Sequence[Sample]) -> str:
    return "/".join(sample.text.strip() for sample in samples)


class HandDrawn:
    """A world that says what a tree says, and `beyond` where the tree says nothing."""

    def __init__(self, tree: Tree, beyond: Sequence[str] = ()) -> None:
        self._steps = {key: [self._parse(step) for step in steps] for key, steps in tree.items()}
        self._scores = self._scored(tree)
        self._beyond = [self._parse(step) for step in beyond]
        self._scores_beyond = self._scored({"": beyond})

    def sample(self, request: Generate) -> Sample:
        path, (attempt, draw) = path_of(request.path), divmod(request.sample_index, RETRY)
        if request.sampling.temperature == 0:
            (step,) = self._steps[f"{path} greedy".strip()]
        else:
            steps = self._steps.get(f"{path} retry {attempt}".strip()) or self._steps.get(path, self._beyond)
            assert steps, f"the tree ends at {path!r}"
            step = steps[draw % len(steps)]
        return written(*step)

    def score(self, request: Score) -> Scores:
        ends = range(request.from_step + 1, len(request.steps) + 1)
        return Scores(tuple(self.score_of(request.steps[:end]) for end in ends), 7)

    def score_of(self, steps: Sequence[str]) -> float:
        """The score of the last of the steps."""
        path = "/".join(steps)
        return self._scores[path] if path in self._scores else self._scores_beyond[steps[-1]]

    @staticmethod
    def _parse(step: str) -> tuple[str, SampleStop]:
        match = STEP.fullmatch(step)
        assert match is not None
        return match["text"], ENDS[match["end"]]

    @staticmethod
    def _scored(tree: Tree) -> dict[str, float]:
        found: dict[str, float] = {}
        for key, steps in tree.items():
            path = re.sub(r" ?(retry \d|greedy)$", "", key)
            for match in filter(None, map(STEP.fullmatch, steps)):
                if match["score"] is not None:
                    name, score = f"{path}/{match['text'].strip()}".removeprefix("/"), float(match["score"])
                    assert found.setdefault(name, score) == score, f"the tree has two scores of {name}"
        return found


@dataclass(frozen=True)
class DrawnByLot:
    """A world of few texts and scores, so that steps are often equal or tie; here and there it is at a dead end."""

    seed: int

    def sample(self, request: Generate) -> Sample:
        tokens = tuple(token for sample in request.path for token in sample.tokens)
        if Random(f"{self.seed} {tokens}").random() < 0.1:
            return written("cut", "length")
        lots = Random(f"{self.seed} {tokens} {request.sample_index} {request.sampling.temperature}")
        text = lots.choice(["a", " a", "b", "b", "c", "d", "", "\\boxed{1}"])
        ends: list[SampleStop] = ["delimiter", "delimiter", "delimiter", "stop", "length"]
        return written(text, lots.choice(ends))

    def score(self, request: Score) -> Scores:
        texts = [request.steps[: index + 1] for index in range(request.from_step, len(request.steps))]
        return Scores(tuple(self._score_of(steps) for steps in texts), 7)

    def _score_of(self, steps: tuple[str, ...]) -> float:
        return Random(f"{self.seed} {steps}").choice([0.0, 0.25, 0.5, 0.5, 0.75, 1.0])


@dataclass
class Play(Generic[Result]):
    """What a search asked for, in the order in which it was answered, and what it returned."""

    generated: list[Generate] = field(default_factory=list)
    scored: list[Score] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def result(self) -> Result:
        (result,) = self.results
        return result

    @property
    def draws(self) -> list[tuple[str, int]]:
        """The path and the number of every draw."""
        return [(path_of(request.path), request.sample_index) for request in self.generated]

    @property
    def scored_paths(self) -> list[str]:
        return ["/".join(request.steps) for request in self.scored]


def in_turn(count: int) -> int:
    """Answer the request that has waited longest."""
    return 0


def newest_first(count: int) -> int:
    """Answer the latest request first; so a batch is answered from its end."""
    return count - 1


def middle_out(count: int) -> int:
    """Answer old and new requests in a mixed order."""
    return count // 2


ORDERS: list[Pick] = [in_turn, newest_first, middle_out]


def by_lot(seed: int) -> Pick:
    """Answer the requests in any order."""
    return Random(seed).randrange


def play(search: Search[Result], world: World, pick: Pick = in_turn) -> Play[Result]:
    """Run a search to its end; of all that waits, `pick` says what is answered or started next.

    Fails where the same is asked for twice.
    """
    played: Play[Result] = Play()
    waiting: list[tuple[Request | Search[Any], Callable[[Any], None]]] = []
    known: set[object] = set()

    def proceed(search: Search[Any], replies: Sequence[Any] | None, deliver: Callable[[Any], None]) -> None:
        try:
            batch = next(search) if replies is None else search.send(replies)
        except StopIteration as finished:
            deliver(finished.value)
            return
        landed: dict[int, Any] = {}

        def land(position: int, reply: Any) -> None:
            assert position not in landed
            landed[position] = reply
            if len(landed) == len(batch):
                proceed(search, [landed[index] for index in range(len(batch))], deliver)

        waiting.extend((asked, partial(land, position)) for position, asked in enumerate(batch))
        if not batch:
            proceed(search, [], deliver)

    def note(key: object) -> None:
        assert key not in known, f"asked for twice: {key}"
        known.add(key)

    proceed(search, None, played.results.append)
    while waiting:
        asked, land = waiting.pop(pick(len(waiting)))
        match asked:
            case Generate():
                note((tuple(sample.tokens for sample in asked.path), asked.sample_index, asked.sampling))
                played.generated.append(asked)
                land(world.sample(asked))
            case Score():
                note(asked)
                played.scored.append(asked)
                land(world.score(asked))
            case _:
                proceed(asked, None, land)
    return played


def shown(rollout: Rollout) -> str:
    """A rollout as its path and why it ended there."""
    return f"{path_of(rollout.path)} {rollout.stop_reason}".strip()


def paths(outcome: Outcome) -> list[str]:
    """The rollouts as text, once their numbers are checked."""
    assert [rollout.sample_index for rollout in outcome.rollouts] == list(range(len(outcome.rollouts)))
    return [shown(rollout) for rollout in outcome.rollouts]


def found(method: Method, tree: Tree) -> list[str]:
    """What a method returns on a tree drawn by hand."""
    return paths(play(method, HandDrawn(tree)).result)


def scores_of(outcome: Outcome) -> list[tuple[float, ...] | None]:
    """The scores of every rollout."""
    return [rollout.scores for rollout in outcome.rollouts]


def content(outcome: Outcome) -> tuple[object, ...]:
    """All that an outcome says, for comparing two."""
    nodes = [
        (node.address, node.sample, node.stop, node.dropped, node.score, node.value, node.lookahead_tokens, node.kept)
        for node in outcome.nodes
    ]
    return outcome.rollouts, nodes


Verdict = Literal["kept", "left", "length", "blank", "duplicate"]


def verdicts(outcome: Outcome) -> dict[tuple[int, ...], tuple[str, Verdict]]:
    """What became of every step drawn, by its address."""
    fate: dict[tuple[int, ...], tuple[str, Verdict]] = {}
    for node in outcome.nodes:
        assert node.address not in fate
        fate[node.address] = (node.sample.text, node.dropped or ("kept" if node.kept else "left"))
    return fate
