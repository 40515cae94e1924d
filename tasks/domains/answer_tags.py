"""Answers between tags, as benchmarks ask for them: `[ANSWER]B[/ANSWER]`, `<answer>B</answer>`."""

import re

MOST_READ = 100_000  # characters; an answer is at the end
_TAGS = re.compile(r"\[ANSWER\](.*?)(?:\[/ANSWER\]|$)|<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)


def last_tag(text: str) -> str | None:
    """What stands in the last tag, closed or not; None where there is no tag, or nothing in it."""
    tags = [(found[1] or found[2] or "").strip() for found in _TAGS.finditer(text)]
    return tags[-1] or None if tags else None
