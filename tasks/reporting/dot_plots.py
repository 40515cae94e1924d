"""Dot plots by matplotlib: a row a line, its one value to the right, for methods that share one n."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from overthink.tasks.reporting.pictures import MUTED, Line, Panel, Picture, y_limits
from overthink.tasks.reporting.plots import DASHES, MOST_TICKS, in_percent, plain_frame

MARKERS = {"solid": "o", "dashed": "s", "dotted": "D"}  # of a line's dash


def draw_dots(plot: Any, picture: Picture, panel: Panel) -> None:
    """Draw a panel into a matplotlib Axes; its points have their lines' names as `gid`."""
    plain_frame(plot, panel, picture.axes.y, "x")
    plot.set_xlim(*y_limits(picture))
    plot.set_ylim(row_count(panel) - 0.4, -0.6)
    plot.set_yticks([])
    plot.locator_params(axis="x", nbins=MOST_TICKS)
    if picture.axes.percent:
        plot.xaxis.set_major_formatter(in_percent)
    for place, name in headings(panel):
        _label(plot, place, name, MUTED, "bold")
    for place, line in placed(panel):
        _dot(plot, place, line)
        _label(plot, place, line.name, line.colour, "normal")


def row_count(panel: Panel) -> int:
    """How many rows a panel has, its headings included."""
    return len(panel.lines) + len(headings(panel))


def headings(panel: Panel) -> list[tuple[int, str]]:
    """The headings of a panel, each with its row from above."""
    found, row = [], 0
    for group, lines in _groups(panel.lines):
        if group:
            found.append((row, group))
        row += len(lines) + bool(group)
    return found


def placed(panel: Panel) -> list[tuple[int, Line]]:
    """The lines of a panel, each with its row from above."""
    taken = {row for row, _ in headings(panel)}
    rows = (row for row in range(row_count(panel)) if row not in taken)
    return list(zip(rows, panel.lines, strict=True))


def _groups(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    return [(group, list(of_it)) for group, of_it in groupby(lines, lambda line: line.group)]


def _dot(plot: Any, place: int, line: Line) -> None:
    (point,) = line.points
    if line.level:
        plot.axvline(point.y, color=line.colour, linewidth=0.9, linestyle=DASHES["dotted"])
    if point.low is not None and point.high is not None:
        plot.plot((point.low, point.high), (place, place), color=line.colour, linewidth=1.4, alpha=0.7)
    style = {"marker": MARKERS[line.dash], "markersize": 6 if line.dash == "solid" else 5}
    plot.plot([point.y], [place], color=line.colour, linestyle="", gid=line.name, **style)


def _label(plot: Any, place: int, name: str, colour: str, weight: str) -> None:
    at = {"xycoords": plot.get_yaxis_transform(), "va": "center", "ha": "right", "annotation_clip": False}
    plot.annotate(name, (-0.03, place), fontsize=10, color=colour, fontweight=weight, **at)
