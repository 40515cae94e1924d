"""Blocks of code between fences, as Markdown has them."""

import re
from dataclasses import dataclass

PYTHON = ("python", "py", "python3", "")
_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<language>[^`\s]*)[^`]*")


@dataclass(frozen=True)
class Block:
    """The text between two fences, or from the last one on where it is never closed; without the fence's indentation.

    `language` is the word behind the opening fence, in lower case.
    """

    language: str
    text: str
    is_closed: bool


def fenced_blocks(text: str) -> list[Block]:
    """All blocks, in their order."""
    blocks: list[Block] = []
    opening, lines = None, list[str]()
    for line in text.split("\n"):
        fence = _FENCE.fullmatch(line)
        if opening is None:
            opening, lines = fence, []
        elif fence and not fence["language"] and fence["marks"].startswith(opening["marks"]):
            blocks.append(Block(opening["language"].lower(), "\n".join(lines), True))
            opening = None
        else:
            lines.append(line.removeprefix(opening["indent"]))
    if opening is not None:
        blocks.append(Block(opening["language"].lower(), "\n".join(lines), False))
    return blocks


def ends_a_block(step: str) -> bool:
    """Whether a step ends a block that it, or a step before it, has begun: so a fence spans steps.

    A fence with a language begins a block, and the next without one ends it. A fence without a language whose block
    begins in no fence of this step ends one of the steps before where nothing follows it, and else begins one.
    """
    lines = step.rstrip().split("\n")
    is_open = False
    for place, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        if fence is None:
            continue
        if not fence["language"] and (is_open or place == len(lines) - 1):
            return True
        is_open = True
    return False
