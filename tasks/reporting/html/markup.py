"""HTML of a report's parts: tables, figures with their numbers and SQL, sections, and the page around them.

All markup comes from the templates beside this file, which escape text and write out characters that have no shape.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from overthink.tasks.reporting.picture_files import panel_svg
from overthink.tasks.reporting.pictures import Picture
from overthink.tasks.reporting.viewer.page_templates import visible


@dataclass(frozen=True)
class Section:
    """A part of the page under its own heading."""

    title: str
    content: Markup

    @property
    def anchor(self) -> str:
        """The id that links to it use."""
        return self.title.lower().replace(" ", "-")


def render(template: str, **values: object) -> Markup:
    """A template rendered with its values."""
    return Markup(_templates().get_template(template).render(values))


def page(title: str, sections: Sequence[Section], of: Sequence[str] = ()) -> str:
    """One HTML page that needs no other file; `of` says below the title what its sections are about."""
    return f"{render('page.html', title=title, sections=sections, of=of)}\n"


def figures(drawn: Iterable[Picture]) -> Markup:
    """Pictures with captions and, folded, points and queries; beside one another where there is room."""
    parts = [_figure(picture) for picture in drawn]
    return Markup('<div class="figures">\n{}\n</div>').format(lines(parts)) if parts else Markup()


def _figure(picture: Picture) -> Markup:
    panels = [(panel.title, Markup(panel_svg(picture, panel))) for panel in picture.panels]
    return _part("figure", picture, panels, points(picture))


def points(picture: Picture) -> Markup:
    """A picture's points as a table; a point that several panels show is listed once."""
    rows = dict.fromkeys(
        (panel.title, line.full_name, *(number(value) for value in (point.x, point.y, point.low, point.high)))
        for panel in picture.panels
        for line in panel.lines
        for point in line.points
    )
    return table(["panel", "line", picture.axes.x, picture.axes.y, "low", "high"], list(rows), words=2)


def number(value: float | None) -> str:
    """A number to six significant digits; a dash where it is unknown."""
    return "–" if value is None else f"{value:.6g}"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: int = 1,
    strong: frozenset[int] = frozenset(),
    kind: Literal["", "wide"] = "",
) -> Markup:
    """A table of plain text whose first `words` columns are words and the rest numbers; `strong` rows stand out.

    A wide one takes the width of the page, and folds its words.
    """
    return _part("table", header, rows, words, strong, kind)


def link(address: str, text: str) -> Markup:
    """A text that leads to an address."""
    return _part("link", address, text)


def behind(sql: str, numbers: str = "") -> Markup:
    """The query behind a figure or table, folded, with its numbers where the page does not show them."""
    return _part("behind", sql, numbers)


def paragraph(text: str, kind: str = "") -> Markup:
    """Text as a paragraph, with `code` between backticks; `kind` is `note` for what is missing and why."""
    coded = re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(f"<p{f' class={kind}' if kind else ''}>{coded}</p>")


def lines(parts: Iterable[Markup]) -> Markup:
    """Parts, one below the other."""
    return Markup("\n").join(parts)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("overthink.tasks.reporting.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str, *values: Any) -> Markup:
    macro = getattr(_templates().get_template("parts.html").module, name)
    return Markup(macro(*values))
