"""The domain of multiple choice: the answer is the place of an option in the data, wherever it was shown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import comb
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from overthink.tasks.domains.choice.letters import LETTERS, chosen, states_letters
from overthink.tasks.domains.choice.right_options import CountFrom, options_of, right_places
from overthink.tasks.domains.domain import Extraction, PlainDomain, Reason, Verdict
from overthink.tasks.domains.domain_options import checked_options
from overthink.tasks.records import Problem

LETTERED = (
    "Please reason step by step, and put the letter of the right option within \\boxed{}; "
    "where several are right, all their letters, separated by commas."
)


class ChoiceOptions(BaseModel):
    """How options are shown, and how the data name the right ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    shuffle: bool = Field(default=False, description="show them in an order that the recipe's seed draws")
    count_from: CountFrom | None = Field(
        default=None, description="of numbers that name options; 0 unless they are text"
    )


class MultipleChoice(PlainDomain):
    """One right option or several, shown with letters. All right letters make a right answer, and nothing else does."""

    name: ClassVar[str] = "choice"
    version: ClassVar[int] = 2
    instruction: ClassVar[str] = LETTERED
    grading_fields: ClassVar[tuple[str, ...]] = ("options",)
    needed_fields: ClassVar[tuple[str, ...]] = ("options",)

    def __init__(self, settings: ChoiceOptions | None = None, seed: int = 0) -> None:
        self._settings, self._seed = settings or ChoiceOptions(), seed

    def configured(self, options: Mapping[str, Any], seed: int) -> Self:
        """See `Domain.configured`."""
        return type(self)(checked_options(ChoiceOptions, options), seed)

    @property
    def options(self) -> Mapping[str, Any]:
        """The seed of the order, where one is drawn."""
        return {"shuffle": self._seed} if self._settings.shuffle else {}

    def posed(self, problem: Problem, answer: Any) -> Problem:
        """The question with its options below, and the places of the right ones in the data as the reference."""
        options = options_of(problem.fields.get("options"))
        count_from = self._settings.count_from
        right = None if answer is None else _told(right_places(answer, options, count_from))
        posed = replace(problem, reference=right, fields={**problem.fields, "options": list(options)})
        return replace(posed, question=f"{problem.question}\n\n{self._lettered(posed)}")

    def columns(self, problem: Problem) -> Mapping[str, str]:
        """The options, a line each with its letter."""
        return {"options": self._lettered(problem)}

    def chance(self, problem: Problem) -> float | None:
        """Of a guess that names as many options as are right."""
        if problem.reference is None:
            return None
        return 1 / comb(len(options_of(problem.fields.get("options"))), len(problem.reference.split(",")))

    def readable(self, problem: Problem, answer: str) -> str:
        """The options as they were shown, as in "B. benzene"."""
        options, shown = options_of(problem.fields.get("options")), self._shown(problem)
        places = sorted(map(int, answer.split(", ")), key=shown.index)
        return "; ".join(f"{LETTERS[shown.index(place)]}. {options[place]}" for place in places)

    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:  # noqa: ARG002
        """The letters alone, by which a search knows that a step holds the answer."""
        return states_letters(text)

    def read(self, problem: Problem, text: str, extraction: Extraction = "boxed") -> str | None:  # noqa: ARG002
        """The places in the data of the options that a solution chooses, as in "0, 2"."""
        shown = self._shown(problem)
        options = options_of(problem.fields.get("options"))
        found = chosen(text, [options[place] for place in shown])
        return None if found is None else _told([shown[place] for place in found])

    def grade(self, problem: Problem, answer: str) -> tuple[Verdict, Reason | None]:
        """All right ones and no other."""
        return ("equal" if answer == problem.reference else "different"), None

    def _shown(self, problem: Problem) -> Sequence[int]:
        """The places of the options in the data, in the order in which they are shown."""
        places = range(len(options_of(problem.fields.get("options"))))
        if not self._settings.shuffle:
            return places
        return sorted(places, key=lambda place: sha256(f"{self._seed}/{problem.problem_id}/{place}".encode()).digest())

    def _lettered(self, problem: Problem) -> str:
        options = options_of(problem.fields.get("options"))
        shown = zip(LETTERS, self._shown(problem), strict=False)
        return "\n".join(f"{letter}. {options[place]}" for letter, place in shown)


def _told(places: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(places)))
