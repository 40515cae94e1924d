"""The names of signals, numbers about rollouts that need no reference, and why rollouts may be without one."""

from collections.abc import Mapping
from typing import Literal, get_args

# Step scores, columns of the table `rollouts`, and what tests tell of programs, columns of `answers`.
SignalName = Literal[
    "prm",
    "completion_tokens",
    "logprob_mean",
    "confidence_mean",
    "confidence_tail",
    "confidence_bottom",
    "confidence_lowest",
    "entropy_mean",
    "self_certainty",
    "tests_passed",
    "generated_passed",
]
SIGNAL_NAMES: tuple[SignalName, ...] = get_args(SignalName)
# The share of the public tests that a program passes, and how many of the tests that a model wrote it passes.
TEST_SIGNALS: tuple[SignalName, ...] = ("tests_passed", "generated_passed")

# Which programs belong together, whatever their text: those that make the same of all inputs, and those that pass the
# same generated tests.
ClassName = Literal["behaviour", "agreement"]
CLASS_NAMES: tuple[ClassName, ...] = get_args(ClassName)
OF_TESTS: tuple[SignalName | ClassName, ...] = (*TEST_SIGNALS, *CLASS_NAMES)

_CONFIDENCE = (
    "confidence: it is kept while sampling, by a policy that shows its tokens; rollouts stored without it stay so: "
    "draw others, by another `seed` or into another store"
)
_GENERATED = "results of generated tests, which programs have whose problems hold `generated_tests`"
_LACKING: Mapping[SignalName | ClassName, str] = {
    "prm": "step scores: name a `prm`",
    "completion_tokens": "counts of tokens: the endpoint, or the file that they were imported from, gave none",
    "logprob_mean": "log-probabilities: a policy on a server shows them where its `tokenizer` is named",
    "self_certainty": "self-certainty: it takes log-probabilities of the whole vocabulary, which no engine here keeps",
    "tests_passed": "results of public tests, which programs have whose problems hold `public_tests` or examples",
    "generated_passed": _GENERATED,
    "agreement": _GENERATED,
    "behaviour": "results on inputs, which programs have whose problems hold `inputs` or tests that call a function",
}


def why_unknown(lacked: SignalName | ClassName) -> str:
    """What rollouts lack that a selector finds without this signal or these classes, and what brings it."""
    return _LACKING.get(lacked, _CONFIDENCE)
