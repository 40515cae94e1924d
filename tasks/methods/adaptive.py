"""Best-of-N that stops once the leading answer cannot plausibly lose.

By `certainty` (Aggarwal et al. 2023, adaptive consistency) or by the Bayes factor (Best-of-∞, 2026).
"""

from collections import Counter
from collections.abc import Callable, Sequence

import scipy

from overthink.tasks.analysis.majority_limit import bayes_factor
from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.methods.thinking import Thinking, solutions
from overthink.tasks.records import Rollout, Sampling, answer_parts, path_text

Answers = Sequence[str | None]
ROUNDING = 1e-9  # relative; so that a Bayes factor of exactly the bound reaches it


def adaptive(
    sampling: Sampling,
    n: int,
    wave: int,
    is_decided: Callable[[Answers], bool],
    answer_of: Callable[[str], str | None],
    thinking: Thinking | None = None,
) -> Method:
    """Draw solutions in waves of `wave`, up to N, until the vote over their answers `is_decided`.

    `answer_of` extracts the answer; a solution without one does not vote.
    """
    rollouts: list[Rollout] = []
    while len(rollouts) < n:
        indices = range(len(rollouts), min(len(rollouts) + wave, n))
        rollouts += yield from solutions(sampling, thinking, indices)
        if is_decided([answer_of(path_text(answer_parts(rollout.path), "")) for rollout in rollouts]):
            break
    return Outcome(tuple(rollouts))


def by_certainty(threshold: float) -> Callable[[Answers], bool]:
    """Decided where P(the leader is the likelier answer) >= `threshold`."""
    return lambda answers: certainty(answers) >= threshold


def by_bayes_factor(factor: float) -> Callable[[Answers], bool]:
    """Decided where the Bayes factor for the leader as the likeliest answer of all is >= `factor`."""
    return lambda answers: bayes_factor(votes_of(answers)) >= factor * (1 - ROUNDING)


def votes_of(answers: Answers) -> list[int]:
    """The votes of each answer, the most first."""
    return [count for _, count in Counter(answer for answer in answers if answer is not None).most_common()]


def certainty(answers: Answers) -> float:
    """P(the leading answer is likelier than the next), in [0.5, 1], for votes a against b and a uniform prior.

    That is the mass above 1/2 of Beta(a + 1, b + 1).
    """
    leader, runner_up = [*votes_of(answers), 0, 0][:2]
    return float(scipy.special.betaincc(leader + 1, runner_up + 1, 0.5))
