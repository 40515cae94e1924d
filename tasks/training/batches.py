"""Examples as tensors: the features of a frozen body, computed once, and padded batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from overthink.tasks.training.examples import Example
from overthink.tasks.training.prm_model import PrmModel

IGNORED = -100
UNLABELLED = -1.0


@dataclass(frozen=True)
class Prepared:
    """One example, or a batch with one more leading axis.

    `inputs` are token ids (tokens), or the frozen body's features (tokens, hidden size). `mask` is 1 where there is a
    token. `targets` holds P(right) at the judged places, UNLABELLED elsewhere. `expected` is 1 where the body would
    also have written this token, 0 where not, IGNORED in the question or where not needed.
    """

    inputs: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor
    expected: torch.Tensor

    def to(self, device: str) -> "Prepared":
        """The same on a device."""
        return Prepared(*(tensor.to(device) for tensor in (self.inputs, self.mask, self.targets, self.expected)))


class StepTarget:
    """Whether a frozen body would have written a token: whether its own language-model head ranks the token first.

    A mark is expected where the body would have ended the step or the solution.
    """

    def __init__(self, norm: Any, writer: Any, mark: int | None, ends: Sequence[int]) -> None:
        self._norm = norm
        self._writer = writer
        self._mark = mark
        self._ends = set(ends)

    def of(self, example: Example, features: torch.Tensor) -> list[int]:
        """See `Prepared.expected`; `features` (tokens, hidden size) are the body's, before its norm."""
        begin = example.question_tokens
        with torch.no_grad():
            guesses = self._writer(self._norm(features[begin - 1 : -1])).argmax(-1).tolist()
        return [IGNORED] * begin + [
            int(guess in self._ends if token == self._mark else guess == token)
            for token, guess in zip(example.ids[begin:], guesses, strict=True)
        ]


def prepare(
    model: PrmModel,
    examples: Sequence[Example],
    expectation: StepTarget | None,
    chunk_tokens: int,
    device: str,
    on_chunk: Callable[[], None],
) -> list[Prepared]:
    """Examples prepared for batches, shortest first. A frozen body reads them here, once."""
    by_length = sorted(examples, key=lambda example: len(example.ids))
    prepared = []
    for chunk in chunks(by_length, [len(example.ids) for example in by_length], chunk_tokens):
        ids = [torch.tensor(example.ids) for example in chunk]
        inputs = _features(model, ids, device) if model.frozen else ids
        for example, own in zip(chunk, inputs, strict=True):
            targets = torch.full((len(example.ids),), UNLABELLED)
            targets[list(example.places)] = torch.tensor(example.targets)
            unasked = [IGNORED] * len(example.ids)
            expected = unasked if expectation is None else expectation.of(example, own)
            mask = torch.ones(len(example.ids), dtype=torch.long)
            prepared.append(Prepared(own.cpu(), mask, targets, torch.tensor(expected)))
        on_chunk()
    return prepared


@torch.no_grad()
def _features(model: PrmModel, ids: Sequence[torch.Tensor], device: str) -> list[torch.Tensor]:
    pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    mask = pad([torch.ones(len(row), dtype=torch.long) for row in ids])
    features = model.features(pad(list(ids)).to(device), mask.to(device))
    return [own[: len(row)].clone() for own, row in zip(features, ids, strict=True)]


def batched(examples: Sequence[Prepared]) -> Prepared:
    """Examples padded on the right to one batch."""
    pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    return Prepared(
        pad([example.inputs for example in examples]),
        pad([example.mask for example in examples]),
        pad([example.targets for example in examples], padding_value=UNLABELLED),
        pad([example.expected for example in examples], padding_value=IGNORED),
    )


def chunks(items: Sequence[Any], lengths: Sequence[int], limit: int) -> Iterator[Sequence[Any]]:
    """Items of ascending length in runs of at most `limit` tokens, padding included; one item at least."""
    begin = 0
    for end in range(1, len(items) + 1):
        if end == len(items) or lengths[end] * (end + 1 - begin) > limit:
            yield items[begin:end]
            begin = end
