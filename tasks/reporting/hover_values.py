"""What a figure in a page shows under the pointer: the values drawn there, without a script.

A strip of the panel is one place to point at, for each x or, in a dot plot, for each row; the page's style shows the
guide and the values of the strip that is pointed at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from overthink.tasks.reporting.axis_ticks import power_of_ten
from overthink.tasks.reporting.dot_plots import placed
from overthink.tasks.reporting.pictures import MUTED, Axes, Line, Panel, Picture, told_y

UNITS = 72  # of SVG, an inch
LETTER, LINE, PAD = 5.2, 12.0, 6.0  # units of the values' text: width, height, and free around it
BESIDE = 7.0  # units from the guide
MOST_VALUES = 15  # so that they fit beside one panel

HOVER = Markup(
    '<g class="hover"><rect class="strip" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    '<g class="values"><path d="{guide}"/>{box}</g></g>'
)
BOX = Markup(
    '<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="3"/><text>{lines}</text>'
)
TEXT = Markup('<tspan x="{x:.1f}" y="{y:.1f}" fill="{colour}">{text}</tspan>')


@dataclass(frozen=True)
class Area:
    """A rectangle in SVG's units, from the upper left corner."""

    x: float
    y: float
    width: float
    height: float


Told = Sequence[tuple[str, str]]  # lines of text, each with its colour


def hover_values(plot: Any, picture: Picture, panel: Panel) -> Markup:
    """The strips of a panel that was drawn into a matplotlib Axes, as SVG in the units of its figure."""
    figure = plot.figure
    page = Area(0, 0, *(UNITS * size for size in figure.get_size_inches()))
    left, bottom, width, height = (float(part) for part in plot.get_position().bounds)
    area = Area(left * page.width, (1 - bottom - height) * page.height, width * page.width, height * page.height)
    strips = _rows if picture.axes.dots else _columns
    return Markup().join(strips(_Scale(plot, page.height), picture.axes, panel, area, page))


class _Scale:
    """Where a value is in SVG's units."""

    def __init__(self, plot: Any, height: float) -> None:
        self._plot, self._height = plot, height

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        right, up = (UNITS / self._plot.figure.dpi * each for each in self._plot.transData.transform((x, y)))
        return float(right), self._height - float(up)


def _columns(scale: _Scale, axes: Axes, panel: Panel, area: Area, page: Area) -> Iterator[Markup]:
    """A strip for each x, up to the middle between neighbours, with the values of all lines that have it."""
    values = sorted({point.x for line in panel.lines if not line.level for point in line.points})
    places = [scale(x, 0)[0] for x in values]
    edges = [area.x - PAD, *((one + other) / 2 for one, other in pairwise(places))]
    for x, place, begin, end in zip(values, places, edges, [*edges[1:], area.x + area.width + PAD], strict=True):
        strip = Area(begin, area.y, end - begin, area.height)
        guide = f"M{place:.1f} {area.y:.1f}v{area.height:.1f}"
        told = [(f"{axes.x}: {_told_x(axes, x)}", MUTED), *_values(axes, panel.lines, x)]
        yield _hover(strip, guide, told, (place, area.y), page)


def _rows(scale: _Scale, axes: Axes, panel: Panel, _area: Area, page: Area) -> Iterator[Markup]:
    """A strip for each row, its name included, with its value."""
    for row, line in placed(panel):
        (point,) = line.points
        (across, middle), (_, above), (_, below) = (scale(point.y, row + shift) for shift in (0, -0.5, 0.5))
        told = [(f"{line.full_name}, n = {point.x:g}", MUTED), (told_y(axes, point), line.colour)]
        strip = Area(0, above, page.width, below - above)
        yield _hover(strip, f"M{across:.1f} {above:.1f}V{below:.1f}", told, (across, middle - 3 * LINE), page)


def _values(axes: Axes, lines: Sequence[Line], x: float) -> Told:
    """The values at x, the highest first; a level has its own everywhere. Faint lines are left out where many are."""
    found = [(point, line) for line in lines for point in line.points if line.level or point.x == x]
    shown = found if len(found) <= MOST_VALUES else [each for each in found if not each[1].faint]
    ordered = sorted(shown, key=lambda each: -each[0].y)
    told = [(f"{line.name} {told_y(axes, point)}", MUTED if line.faint else line.colour) for point, line in ordered]
    hidden = len(found) - len(shown)
    return [*told, (f"{hidden} more in the numbers below", MUTED)] if hidden else told


def _told_x(axes: Axes, x: float) -> str:
    return power_of_ten(x) if axes.base == 10 else f"{x:.4g}"


def _hover(strip: Area, guide: str, told: Told, near: tuple[float, float], page: Area) -> Markup:
    width = LETTER * max(len(text) for text, _ in told) + 2 * PAD
    height = LINE * len(told) + PAD
    right = near[0] + BESIDE
    x = right if right + width <= page.width else max(0.0, near[0] - BESIDE - width)
    y = max(0.0, min(near[1], page.height - height))
    lines = Markup().join(
        TEXT.format(x=x + PAD, y=y + LINE * (place + 1), colour=colour, text=escape(text))
        for place, (text, colour) in enumerate(told)
    )
    box = BOX.format(x=x, y=y, width=width, height=height, lines=lines)
    return HOVER.format(x=strip.x, y=strip.y, width=strip.width, height=strip.height, guide=guide, box=box)
