"""The templates of the viewer's pages. Whatever a template puts in is escaped, and no character of it is hidden."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from overthink.storage.schemas import SIGNALS
from overthink.tasks.terminal_text import printable

PACKAGE = "overthink.tasks.reporting.viewer"
LONGEST_LINE = 80
LONGEST_TEXT = 100_000  # characters of a question, step, answer or reasoning
COLOURS = 10  # of scores, in static/viewer.css
MARKS = {True: "✓", False: "✗", None: "?"}
WORDS = {True: "right", False: "wrong", None: "unknown"}


def static_folder() -> Path:
    """The folder of what pages refer to: style, scripts, and KaTeX with its fonts and licence."""
    return Path(__file__).with_name("static")


def visible(value: object) -> object:
    """A value as it is shown: unknown is a dash; characters without a shape, which may turn text, are named."""
    if value is None:
        return "–"
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\t".join(map(printable, value.replace("\r\n", "\n").split("\t")))


def shade(score: float | None) -> str:
    """The class of a score's colour: s0 for the lowest tenth of [0, 1] to s9; none where it is unknown."""
    return "unscored" if score is None else f"s{min(int(max(score, 0.0) * COLOURS), COLOURS - 1)}"


def number(value: float | None, digits: int = 2) -> str | None:
    """A number with some digits behind its point; None where it is unknown."""
    return None if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str | None:
    """A share in percent; None where it is unknown."""
    return None if value is None else f"{100 * value:.1f} %"


def brief(text: str | None) -> str | None:
    """A text in a line; of a long one, such as a program, its beginning."""
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def cut(text: str | None) -> str | None:
    """A text as far as pages show it; what is longer says so."""
    if text is None or len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n\n… cut after {LONGEST_TEXT} characters; SQL has all of it"


def exact(value: object) -> Markup:
    """A value escaped and otherwise as it is: what a form sends back must be what is stored."""
    return escape("" if value is None else value)


def merged(parameters: Mapping[str, str], **more: str) -> dict[str, str]:
    """Parameters of an address with some more."""
    return {**parameters, **more}


@cache
def templates() -> Environment:
    """The environment of all templates."""
    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (number, percent, shade, brief, merged, exact, cut)
    environment.filters |= {function.__name__: function for function in filters}
    environment.globals |= {"MARKS": MARKS, "WORDS": WORDS, "SIGNALS": SIGNALS}
    return environment
