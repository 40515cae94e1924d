"""Curves by matplotlib: panels of lines with bands, labelled where they end, as SVG for a page and as files.

Colours follow Okabe and Ito's palette, which colour-blind readers can distinguish, dark enough for text. In a page
each is a CSS variable, so that one drawing serves the light and the dark theme.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from overthink.tasks.errors import UserError

INK, MUTED, GRID = "#1d2733", "#5c6773", "#d5dae0"
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#bf5200", "#00805e", "#b0508a"
ORANGE, SKY, BROWN = "#966600", "#1d7aab", "#7a5236"
OLIVE, ROSE = "#5c6b00", "#c0305a"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BROWN, OLIVE, ROSE)
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", BLUE: "blue", VERMILION: "vermilion",
    GREEN: "green", PURPLE: "purple", ORANGE: "orange", SKY: "sky", BROWN: "brown",
    OLIVE: "olive", ROSE: "rose",
}  # fmt: skip
DASHES: dict[str, Any] = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.6))}
WIDTH, HEIGHT = 4.9, 3.3  # inches of one panel; 72 of SVG's units each
PLACE = (0.115, 0.155, 0.575, 0.755)  # of the axes in their panel; the names of lines are to the right
LEAST_RATIO = 1.4  # between two labelled budgets of the axis
MOST_TICKS = 8
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LETTER = 0.75  # the largest width of a bold letter, in letter sizes
LABEL_GAP = 0.075  # of a panel's height, between two labels
SVG_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "overthink", "text.parse_math": False}


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

    A faint line is drawn thin, without band and label; a level is one point, drawn as a horizontal line.
    """

    name: str
    points: Sequence[Point]
    colour: str = BLUE
    dash: Literal["solid", "dashed", "dotted"] = "solid"
    faint: bool = False
    level: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines over one pair of axes."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Axes:
    """Names of both axes; y lies in [0, 1]. `diagonal` adds the line y = x; `base` makes x logarithmic."""

    x: str
    y: str
    diagonal: bool = False
    base: Literal[2, 10] | None = None
    percent: bool = False


@dataclass(frozen=True)
class Picture:
    """Panels with common axes, their caption, and the query for their points."""

    name: str
    title: str
    caption: str
    axes: Axes
    panels: Sequence[Panel]
    sql: str


def panel_svg(picture: Picture, panel: Panel) -> str:
    """One panel as an `<svg>` element that takes its colours and its font from the page."""
    with _settings():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="none")
        _draw(figure.add_axes(PLACE), picture, panel)
        drawn = _svg(figure)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)  # ids would repeat in every panel of a page
    drawn = re.sub(r"font: ((?:\d+ )?[\d.]+px) [^;\"]+", r"font: \1 var(--sans)", drawn)
    for colour, variable in VARIABLES.items():
        drawn = drawn.replace(colour, f"var(--{variable})")
    label = f'role="img" aria-label="{_attribute(f"{picture.title}: {panel.title}")}" '
    return re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", drawn, count=1).replace("<svg ", f"<svg {label}", 1)


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> list[Path]:
    """Write each picture atomically, as SVG and as PNG on white; returns the files. Raises UserError on failure."""
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            for suffix, content in (("svg", picture_svg(picture).encode()), ("png", picture_png(picture))):
                written.append(folder / f"{picture.name}.{suffix}")
                written[-1].write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write pictures to {folder}: {error}") from error
    return written


def picture_svg(picture: Picture) -> str:
    """All panels, up to three side by side, as an `<svg>` element on white."""
    with _settings():
        return _svg(panels_figure(picture))


def picture_png(picture: Picture) -> bytes:
    """`picture_svg` as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    with _settings():
        FigureCanvasAgg(panels_figure(picture)).print_png(stream)
    return stream.getvalue()


def panels_figure(picture: Picture) -> Any:
    """A matplotlib Figure with an Axes for each panel, in order; its lines have their names as `gid`."""
    from matplotlib.figure import Figure

    columns = min(3, len(picture.panels))
    rows = math.ceil(len(picture.panels) / columns)
    top = 0.45  # inches for the title
    height = HEIGHT * rows + top
    figure = Figure(figsize=(WIDTH * columns, height), dpi=144, facecolor="white")
    size = min(15.0, 72 * WIDTH * columns / len(picture.title) / LETTER)
    figure.text(0.02, 1 - 0.3 / height, picture.title, color=INK, fontsize=size, fontweight="bold", va="center")
    for number, panel in enumerate(picture.panels):
        row, column = divmod(number, columns)
        left, bottom, width, tall = PLACE
        share = HEIGHT / height
        place = ((column + left) / columns, (rows - 1 - row + bottom) * share, width / columns, tall * share)
        _draw(figure.add_axes(place), picture, panel)
    return figure


def _draw(plot: Any, picture: Picture, panel: Panel) -> None:
    axes = picture.axes
    _frame(plot, picture, panel)
    if axes.diagonal:
        plot.plot((0, 1), (0, 1), color=MUTED, linestyle=DASHES["dotted"], linewidth=1)
    for line in sorted(panel.lines, key=lambda line: not line.faint):
        x, y = [point.x for point in line.points], [point.y for point in line.points]
        if line.faint:
            plot.plot(x, y, color=MUTED, alpha=0.45, linewidth=0.8, gid=line.name)
            continue
        if line.level:
            plot.axhline(y[0], color=line.colour, linewidth=0.9, linestyle=DASHES["dotted"])
            plot.plot(x, y, color=line.colour, linestyle="", marker="_", markersize=7, gid=line.name)
            continue
        _band(plot, line)
        plot.plot(
            x,
            y,
            color=line.colour,
            linestyle=DASHES[line.dash],
            linewidth=1.9,
            marker="o",
            markersize=3.6,
            gid=line.name,
        )
    _label_ends(plot, [line for line in panel.lines if not line.faint])


def _band(plot: Any, line: Line) -> None:
    known = [point for point in line.points if point.low is not None and point.high is not None]
    x, low, high = zip(*((point.x, point.low, point.high) for point in known), strict=True) if known else ((), (), ())
    if len(known) == 1:
        plot.plot((x[0], x[0]), (low[0], high[0]), color=line.colour, linewidth=1.2, alpha=0.7)
    elif known:
        plot.fill_between(x, low, high, color=line.colour, alpha=0.13, linewidth=0)


def _frame(plot: Any, picture: Picture, panel: Panel) -> None:
    axes = picture.axes
    plot.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        plot.spines[side].set_visible(False)
    plot.spines["bottom"].set_color(MUTED)
    plot.grid(axis="y", color=GRID, linewidth=0.7)
    plot.set_axisbelow(True)
    plot.tick_params(colors=MUTED, length=0, labelsize=10)
    plot.set_title(panel.title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=7)
    plot.set_xlabel(axes.x, color=MUTED, fontsize=10)
    low, high = y_limits(picture)
    plot.set_ylim(low, high)
    if axes.percent:
        plot.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    if axes.base is not None:
        plot.set_xscale("log", base=axes.base)
        plot.minorticks_off()
    x = sorted({point.x for one in picture.panels for line in one.lines for point in line.points})
    if axes.base == 2:
        plot.set_xticks(budget_ticks(x))
        plot.xaxis.set_major_formatter("{x:g}")
    if axes.base == 10:
        plot.set_xticks(decimal_ticks(x[0], x[-1]))
        plot.xaxis.set_major_formatter(lambda value, _: power_of_ten(value))
    if len(x) == 1:
        plot.set_xlim((x[0] / 2, x[0] * 2) if axes.base else (x[0] - 1, x[0] + 1))
    else:
        edge = (x[-1] / x[0]) ** 0.03 if axes.base else (x[-1] - x[0]) * 0.03
        plot.set_xlim((x[0] / edge, x[-1] * edge) if axes.base else (x[0] - edge, x[-1] + edge))


def budget_ticks(budgets: Sequence[float]) -> list[float]:
    """The labelled ones of the budgets, which ascend: of close neighbours the larger, and 8 at most."""
    told: list[float] = []
    for budget in reversed(budgets):
        if not told or told[-1] / budget >= LEAST_RATIO:
            told.append(budget)
    told.reverse()
    return told if len(told) <= MOST_TICKS else told[:: math.ceil(len(told) / MOST_TICKS)]


def decimal_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, both above 0, for a logarithmic axis: 1, 2 and 5 times powers of ten, or
    these powers alone where that would be more than 8; the ends themselves where no two lie between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for leading in ((1, 2, 5), (1,)):
        ticks = [one for power in powers for digit in leading if low <= (one := float(f"{digit}e{power}")) <= high]
        if len(ticks) <= MOST_TICKS:
            break
    ticks = ticks[:: math.ceil(len(ticks) / MOST_TICKS)] if ticks else []
    return ticks if len(ticks) > 1 else sorted({low, high})


def power_of_ten(value: float) -> str:
    """A number of two digits and a power of ten, as it is written by hand: 10⁹, 2·10⁹, 1.5·10⁹."""
    digits, power = f"{value:.1e}".split("e")
    raised = f"10{str(int(power)).translate(SUPERSCRIPTS)}"
    digits = digits.removesuffix(".0")
    return raised if digits == "1" else f"{digits}·{raised}"


def y_limits(picture: Picture) -> tuple[float, float]:
    """The range of y that all panels of a picture share, a little wider than its points and intervals."""
    points = [point for panel in picture.panels for line in panel.lines for point in line.points]
    ends = [end for point in points for end in (point.y, point.low, point.high) if end is not None]
    if picture.axes.diagonal:
        ends += [0.0, 1.0]
    margin = 0.05 * max(0.3, max(ends) - min(ends))
    return max(-0.02, min(ends) - margin), min(1.02, max(ends) + margin)


def _label_ends(plot: Any, lines: Sequence[Line]) -> None:
    """Each line's name beside its last point, moved up where it would cover the one below."""
    low, high = plot.get_ylim()
    ends = sorted((((line.points[-1].y - low) / (high - low)), line.name, line.colour) for line in lines)
    places: list[float] = []
    for end, *_ in ends:
        places.append(max(end, places[-1] + LABEL_GAP) if places else end)
    excess = max(0.0, places[-1] - 1.0) if places else 0.0
    for place, (_, name, colour) in zip(places, ends, strict=True):
        plot.annotate(
            name,
            (1.02, place - excess),
            xycoords="axes fraction",
            va="center",
            fontsize=10,
            color=colour,
            annotation_clip=False,
        )


@contextmanager
def _settings() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context(SVG_SETTINGS):
        yield


def _svg(figure: Any) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    drawn = stream.getvalue()
    return drawn[drawn.index("<svg") :]


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
