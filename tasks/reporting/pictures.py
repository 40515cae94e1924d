"""What a figure shows: panels of lines through measured points, with their axes, caption and query.

Colours follow Okabe and Ito's palette, which colour-blind readers can distinguish, dark enough for text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

INK, MUTED, GRID = "#1d2733", "#5c6773", "#d5dae0"
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#bf5200", "#00805e", "#b0508a"
ORANGE, SKY, BROWN = "#966600", "#1d7aab", "#7a5236"
OLIVE, ROSE = "#5c6b00", "#c0305a"
TEAL, INDIGO, MAROON = "#0a7479", "#5a4fcf", "#8a2d2d"
# What a page calls them: dark pages have others under the same names.
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", BLUE: "blue", VERMILION: "vermilion",
    GREEN: "green", PURPLE: "purple", ORANGE: "orange", SKY: "sky", BROWN: "brown",
    OLIVE: "olive", ROSE: "rose", TEAL: "teal", INDIGO: "indigo", MAROON: "maroon",
}  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BROWN, OLIVE, ROSE, TEAL, INDIGO, MAROON)

Dash = Literal["solid", "dashed", "dotted"]


@dataclass(frozen=True)
class Point:
    """A measured value with its interval; the bounds are None where there is none."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """Points under one name, by ascending x.

    A faint line is drawn thin, without band and label; a level is one point, drawn as a straight line through
    the panel. In a dot plot a line is a row with one point, below the heading `group`.
    """

    name: str
    points: Sequence[Point]
    colour: str = BLUE
    dash: Dash = "solid"
    faint: bool = False
    level: bool = False
    group: str = ""

    @property
    def full_name(self) -> str:
        """The name with that of its group."""
        return f"{self.group} {self.name}".strip()


@dataclass(frozen=True)
class Panel:
    """Lines over one pair of axes."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Axes:
    """Names of both axes; y lies in [0, 1]. `diagonal` adds the line y = x; `base` makes x logarithmic.

    In a dot plot, `dots`, y runs to the right and lines are rows; x is the same for all points of a panel.
    """

    x: str
    y: str
    diagonal: bool = False
    base: Literal[2, 10] | None = None
    percent: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Picture:
    """Panels with common axes, their caption, and the query for their points.

    `of` says what they are of: run, policy, PRM and problems. A page shows all panels side by side, or, where `chosen`
    is one's number, one at a time, that one first.
    """

    name: str
    title: str
    caption: str
    axes: Axes
    panels: Sequence[Panel]
    sql: str
    of: str = ""
    chosen: int | None = None


def y_limits(picture: Picture) -> tuple[float, float]:
    """The range of y that all panels of a picture share, a little wider than its points and intervals."""
    points = [point for panel in picture.panels for line in panel.lines for point in line.points]
    ends = [end for point in points for end in (point.y, point.low, point.high) if end is not None]
    if picture.axes.diagonal:
        ends += [0.0, 1.0]
    margin = 0.05 * max(0.3, max(ends) - min(ends))
    return max(-0.02, min(ends) - margin), min(1.02, max(ends) + margin)


def told_y(axes: Axes, point: Point) -> str:
    """A point's value with its interval, as it is written beside it: `61.8 % (56–68)`."""
    scale, digits, unit = (100, 0, " %") if axes.percent else (1, 2, "")
    told = f"{scale * point.y:.{digits + 1}f}{unit}"
    if point.low is None or point.high is None:
        return told
    return f"{told} ({scale * point.low:.{digits}f}–{scale * point.high:.{digits}f})"
