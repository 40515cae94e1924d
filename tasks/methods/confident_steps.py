"""How sure the policy was of what it wrote, for methods that go by it instead of a verifier."""

from collections.abc import Iterable
from statistics import fmean

from overthink.tasks.errors import BadReply
from overthink.tasks.records import Part, Sample


def confidences_of(path: Iterable[Part]) -> tuple[float, ...]:
    """The confidence of every token that the policy wrote. Raises BadReply where the engine kept none."""
    found: list[float] = []
    for part in path:
        if isinstance(part, Sample) and part.tokens:
            if part.confidences is None:
                raise BadReply("the method reads the confidence of every token, and the policy's engine gave none")
            found += part.confidences
    return tuple(found)


def confidence_value(step: Iterable[Part]) -> float:
    """The value of a step by its mean confidence c: c / (1 + c), in [0, 1), whose odds are the confidence itself."""
    confidence = fmean(confidences_of(step))
    return confidence / (1 + confidence)
