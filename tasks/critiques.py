"""What a verifier writes about a step before it judges it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Critique:
    """One critique, the `number`th of those of a step; of a verifier that judges a whole solution, of its last step.

    `verdict` is whether it says that the step is right, None where it does not say. `score` is in [0, 1], None without
    a verdict or where neither verdict has a probability above 0. `completion_tokens` are those that the verifier wrote,
    None where an engine does not count them; `stop_reason` is that of the last thing that it wrote.
    """

    step_index: int
    number: int
    text: str
    verdict: bool | None
    score: float | None
    completion_tokens: int | None
    stop_reason: str
