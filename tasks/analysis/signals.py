"""The names of signals, numbers about rollouts that need no reference, and why rollouts may be without one."""

from typing import Literal, get_args

# Step scores; the others are columns of the table `rollouts`.
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
]
SIGNAL_NAMES: tuple[SignalName, ...] = get_args(SignalName)


def why_unknown(signal: SignalName) -> str:
    """What rollouts lack that a selector finds without this signal, and what brings it."""
    match signal:
        case "prm":
            return "step scores: name a `prm`"
        case "completion_tokens":
            return "counts of tokens: the endpoint, or the file that they were imported from, gave none"
        case "logprob_mean":
            return "log-probabilities: a policy on a server shows them where its `tokenizer` is named"
        case "self_certainty":
            return "self-certainty: it takes the log-probabilities of the whole vocabulary, which no engine here keeps"
        case _:
            return (
                "confidence: it is kept while sampling, by a policy that shows its tokens; rollouts stored without it "
                "stay so: draw others, by another `seed` or into another store"
            )
