"""What the results of a program's tests are in the table `answers`: signals, and classes of programs that agree."""

from collections.abc import Sequence
from typing import Any

from overthink.storage.keys import content_key
from overthink.tasks.domains.program_domain import SuiteResult


def program_columns(results: Sequence[SuiteResult]) -> dict[str, Any]:
    """The columns of one program; a suite that it has not, or that holds an unknown verdict, leaves its own null."""
    by_suite = {result.suite: result for result in results}
    public, generated = (_verdicts(by_suite.get(suite)) for suite in ("public", "generated"))
    inputs = by_suite.get("inputs")
    return {
        "tests_passed": None if public is None else sum(public) / len(public),
        "generated_passed": None if generated is None else float(sum(generated)),
        "behaviour": None if inputs is None else inputs.behaviour,
        "agreement": None if generated is None else content_key([place for place, one in enumerate(generated) if one]),
    }


def _verdicts(result: SuiteResult | None) -> list[bool] | None:
    """The verdicts of a suite; None where there are none, or one of them is unknown."""
    known = [] if result is None else [one for one in result.passed if one is not None]
    return known if result is not None and known and len(known) == len(result.passed) else None
