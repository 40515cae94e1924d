"""The columns of rollouts and steps that say how sure the policy was."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Any

import numpy as np

from overthink.tasks.analysis.confidence import confidence_columns
from overthink.tasks.recipes.sampling_config import ConfidenceConfig
from overthink.tasks.records import Part, Sample, steps_of

Columns = dict[str, float]  # the known ones; the others are null
MEANS = {"logprob_mean": "logprobs", "entropy_mean": "entropies", "self_certainty": "certainties"}


@dataclass(frozen=True)
class RolloutSignals:
    """The signals of what a policy wrote; without `windows` none of its confidences."""

    windows: ConfidenceConfig | None

    def of_rollout(self, samples: Iterable[Sample]) -> Columns:
        """Of all tokens of all samples, in order, reasoning included."""
        return self._columns(_numbers(samples))

    def of_steps(self, parts: Sequence[Part], delimiter: str) -> list[Columns]:
        """Of each step that `steps_of` finds."""
        numbers = _numbers(part for part in parts if isinstance(part, Sample))
        columns, begin = [], 0
        for step in steps_of(parts, delimiter):
            end = begin + (step.completion_tokens or 0)
            columns.append(self._columns({field: signal[begin:end] for field, signal in numbers.items()}))
            begin = end
        return columns

    def _columns(self, numbers: Mapping[str, Sequence[float]]) -> Columns:
        found = {name: fmean(numbers[field]) for name, field in MEANS.items() if numbers[field]}
        if self.windows is not None and numbers["confidences"]:
            found |= confidence_columns(np.array(numbers["confidences"]), self.windows.group, self.windows.tail)
        return found


def _numbers(samples: Iterable[Sample]) -> dict[str, list[float]]:
    """Each signal with a number for each token of all samples; empty where one of them has none."""
    written = [sample for sample in samples if sample.tokens or not sample.shown]
    found: dict[str, list[float]] = {}
    for field in (*MEANS.values(), "confidences"):
        signals: list[Any] = [getattr(sample, field) if sample.shown else None for sample in written]
        found[field] = [] if None in signals else list(chain.from_iterable(signals))
    return found
