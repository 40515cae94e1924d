"""Panels drawn by matplotlib: lines with bands, named where they end."""

from collections.abc import Sequence
from typing import Any

from overthink.tasks.reporting.axis_ticks import budget_ticks, decimal_ticks, power_of_ten
from overthink.tasks.reporting.pictures import GRID, INK, MUTED, Axes, Line, Panel, Picture, y_limits

DASHES: dict[str, Any] = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.6))}
MOST_TICKS = 5  # of an axis that is not logarithmic
LABEL_GAP = 0.075  # of a panel's height, between two labels
LOWEST_LABEL = 0.03


def draw_lines(plot: Any, picture: Picture, panel: Panel) -> None:
    """Draw a panel into a matplotlib Axes; its lines have their names as `gid`."""
    _frame(plot, picture, panel)
    if picture.axes.diagonal:
        plot.plot((0, 1), (0, 1), color=MUTED, linestyle=DASHES["dotted"], linewidth=1)
    for line in sorted(panel.lines, key=lambda line: not line.faint):
        _line(plot, line)
    _label_ends(plot, [line for line in panel.lines if not line.faint])


def plain_frame(plot: Any, panel: Panel, named: str, lines_along: str) -> None:
    """What all panels have: a title, the name of the axis below, and grid lines along one axis alone."""
    plot.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        plot.spines[side].set_visible(False)
    plot.spines["bottom"].set_color(MUTED)
    plot.grid(axis=lines_along, color=GRID, linewidth=0.7)
    plot.set_axisbelow(True)
    plot.tick_params(colors=MUTED, length=0, labelsize=10)
    plot.set_title(panel.title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=7)
    plot.set_xlabel(named, color=MUTED, fontsize=10)


def in_percent(value: float, _: object = None) -> str:
    """A share as it is written beside an axis."""
    return f"{100 * value:.0f} %"


def _line(plot: Any, line: Line) -> None:
    x, y = [point.x for point in line.points], [point.y for point in line.points]
    if line.faint:
        plot.plot(x, y, color=MUTED, alpha=0.45, linewidth=0.8, gid=line.name)
        return
    if line.level:
        plot.axhline(y[0], color=line.colour, linewidth=0.9, linestyle=DASHES["dotted"])
        plot.plot(x, y, color=line.colour, linestyle="", marker="_", markersize=7, gid=line.name)
        return
    _band(plot, line)
    style = {"linestyle": DASHES[line.dash], "linewidth": 1.9, "marker": "o", "markersize": 3.6}
    plot.plot(x, y, color=line.colour, gid=line.name, **style)


def _band(plot: Any, line: Line) -> None:
    known = [point for point in line.points if point.low is not None and point.high is not None]
    x, low, high = zip(*((point.x, point.low, point.high) for point in known), strict=True) if known else ((), (), ())
    if len(known) == 1:
        plot.plot((x[0], x[0]), (low[0], high[0]), color=line.colour, linewidth=1.2, alpha=0.7)
    elif known:
        plot.fill_between(x, low, high, color=line.colour, alpha=0.13, linewidth=0)


def _frame(plot: Any, picture: Picture, panel: Panel) -> None:
    axes = picture.axes
    plain_frame(plot, panel, axes.x, "y")
    plot.set_ylim(*y_limits(picture))
    if axes.percent:
        plot.yaxis.set_major_formatter(in_percent)
    x = sorted({point.x for one in picture.panels for line in one.lines for point in line.points})
    _ticks(plot, axes, x)
    if len(x) == 1:
        plot.set_xlim((x[0] / 2, x[0] * 2) if axes.base else (x[0] - 1, x[0] + 1))
    else:
        edge = (x[-1] / x[0]) ** 0.03 if axes.base else (x[-1] - x[0]) * 0.03
        plot.set_xlim((x[0] / edge, x[-1] * edge) if axes.base else (x[0] - edge, x[-1] + edge))


def _ticks(plot: Any, axes: Axes, x: Sequence[float]) -> None:
    """What is written below the axis, of the ascending values `x` of all panels."""
    if axes.base is None:
        plot.locator_params(axis="x", nbins=MOST_TICKS)
        return
    plot.set_xscale("log", base=axes.base)
    plot.minorticks_off()
    if axes.base == 2:
        plot.set_xticks(budget_ticks(x))
        plot.xaxis.set_major_formatter("{x:g}")
    else:
        plot.set_xticks(decimal_ticks(x[0], x[-1]))
        plot.xaxis.set_major_formatter(lambda value, _: power_of_ten(value))


def _label_ends(plot: Any, lines: Sequence[Line]) -> None:
    """Each line's name beside its last point."""
    low, high = plot.get_ylim()
    ends = sorted((((line.points[-1].y - low) / (high - low)), line.name, line.colour) for line in lines)
    for place, (_, name, colour) in zip(label_places([end for end, *_ in ends]), ends, strict=True):
        at = {"xycoords": "axes fraction", "va": "center", "annotation_clip": False}
        plot.annotate(name, (1.02, place), fontsize=10, color=colour, **at)


def label_places(ends: Sequence[float]) -> list[float]:
    """Where labels stand, as shares of the height, beside ascending ends: apart, and above the axis.

    One that would cover the label below it moves up; those that would stand above the panel move down.
    """
    places: list[float] = []
    for end in ends:
        places.append(max(end, places[-1] + LABEL_GAP if places else LOWEST_LABEL))
    ceiling = 1.0
    for place in reversed(range(len(places))):
        places[place] = min(places[place], ceiling)
        ceiling = places[place] - LABEL_GAP
    return places
