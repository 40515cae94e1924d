"""HTML of a report's parts: tables, figures with their numbers and SQL, sections, and the page around them."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from overthink.tasks.reporting.plots import Picture, panel_svg

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}
</style>
</head>
<body>
<header>
<p class="brand">Overthink</p>
<h1>{title}</h1>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Section:
    """A part of the page under its own heading; `content` is HTML."""

    title: str
    content: str

    @property
    def anchor(self) -> str:
        """Where links to it lead."""
        return self.title.lower().replace(" ", "-")


def page(title: str, sections: Sequence[Section]) -> str:
    """One HTML page that needs no other file."""
    style = files("overthink.tasks.reporting.html").joinpath("page.css").read_text(encoding="utf-8").strip()
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    body = "\n".join(
        f'<section id="{section.anchor}">\n<h2>{escape(section.title)}</h2>\n{section.content}\n</section>'
        for section in sections
    )
    return PAGE.format(title=escape(title), style=style, links=links, sections=body)


def figure(picture: Picture) -> str:
    """A picture's panels, what it shows, and folded away the points and the query that gives them."""
    panels = "\n".join(f'<div class="panel">{panel_svg(picture, panel)}</div>' for panel in picture.panels)
    count = min(len(picture.panels), 3)
    return (
        f'<figure id="{escape(picture.name)}">\n<h3>{escape(picture.title)}</h3>\n'
        f'<figcaption>{escape(picture.caption)}</figcaption>\n<div class="panels of{count}">\n{panels}\n</div>\n'
        f"{behind(picture.sql, points(picture))}\n</figure>"
    )


def points(picture: Picture) -> str:
    """A picture's points as a table; each once, though several panels may show it."""
    rows = dict.fromkeys(
        (panel.title, line.name, *(number(value) for value in (point.x, point.y, point.low, point.high)))
        for panel in picture.panels
        for line in panel.lines
        for point in line.points
    )
    return table(["panel", "line", picture.axes.x, picture.axes.y, "low", "high"], list(rows), words=2)


def number(value: float | None) -> str:
    """A number to six significant digits; a dash where it is unknown."""
    return "–" if value is None else f"{value:.6g}"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1, strong: frozenset[int] = frozenset()
) -> str:
    """A table of plain text whose first `words` columns are words and the rest numbers; `strong` rows stand out."""

    def line(cells: Sequence[str], tag: str, kind: str = "") -> str:
        marked = (
            f"<{tag}{'' if place < words else ' class=num'}>{escape(cell)}</{tag}>" for place, cell in enumerate(cells)
        )
        return f"<tr{kind}>{''.join(marked)}</tr>"

    body = "\n".join(line(row, "td", " class=strong" if place in strong else "") for place, row in enumerate(rows))
    return f'<div class="scroll"><table>\n<thead>{line(header, "th")}</thead>\n<tbody>\n{body}\n</tbody></table></div>'


def behind(sql: str, numbers: str = "") -> str:
    """The query behind a figure or table, folded away, with its numbers where they stand nowhere else."""
    name = "Numbers and SQL" if numbers else "SQL"
    return f"<details><summary>{name}</summary>\n<pre>{escape(sql)}</pre>\n{numbers}</details>"


def paragraph(text: str, kind: str = "") -> str:
    """Text as a paragraph, with `code` between backticks; `kind` is `note` for what is missing and why."""
    coded = re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
    return f"<p{f' class={kind}' if kind else ''}>{coded}</p>"


def escape(text: object) -> str:
    """Text as HTML."""
    return html.escape(str(text))
