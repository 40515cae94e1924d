"""Pictures as SVG for a page, and as files.

In a page each colour is a CSS variable, so that one drawing serves the light and the dark theme.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overthink.tasks.errors import UserError
from overthink.tasks.reporting.dot_plots import draw_dots, row_count
from overthink.tasks.reporting.hover_values import hover_values
from overthink.tasks.reporting.pictures import (
    INK,
    MUTED,
    VARIABLES,
    Panel,
    Picture,
)
from overthink.tasks.reporting.plots import draw_lines

WIDTH, HEIGHT = 4.9, 3.3  # inches of one panel; 72 of SVG's units each
ROW, ABOVE_AND_BELOW = 0.2, 0.9  # inches of a dot plot
LEFT, RIGHT = 0.115, 0.31  # shares of a panel's width beside its axes; the names of lines are to the right
LEFT_OF_DOTS, RIGHT_OF_DOTS = 0.38, 0.05  # the names of rows are to the left
BELOW, ABOVE = 0.51, 0.3  # inches below and above the axes
LETTER = 0.75  # the largest width of a bold letter, in letter sizes
SVG_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "overthink", "text.parse_math": False}


def panel_svg(picture: Picture, panel: Panel) -> str:
    """One panel as an `<svg>` element that takes its colours and its font from the page, with values to hover."""
    with _settings():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, panel_height(picture, panel)), facecolor="none")
        plot = figure.add_axes(_place(picture, panel_height(picture, panel)))
        _draw(plot, picture, panel)
        drawn = _svg(figure)
        over = hover_values(plot, picture, panel)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)  # ids would repeat in every panel of a page
    drawn = re.sub(r"font: ((?:\w+ )?[\d.]+px) [^;\"]+", r"font: \1 var(--sans)", drawn)
    drawn = drawn.replace("</svg>", f"{over}</svg>")
    for colour, variable in VARIABLES.items():
        drawn = drawn.replace(colour, f"var(--{variable})")
    label = f'role="img" aria-label="{_attribute(f"{picture.title}: {panel.title}")}" '
    return re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", drawn, count=1).replace("<svg ", f"<svg {label}", 1)


def write_pictures(folder: Path, drawn: Iterable[Picture]) -> list[Path]:
    """Write each picture atomically, as SVG and as PNG on white; returns the files. Raises UserError on failure."""
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in drawn:
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
    tall = max(panel_height(picture, panel) for panel in picture.panels)
    top = 0.62  # inches for what it shows, and of what
    height = tall * rows + top
    figure = Figure(figsize=(WIDTH * columns, height), dpi=144, facecolor="white")
    for text, largest, colour, weight, y in (
        (picture.title, 15.0, INK, "bold", 0.26),
        (picture.of, 10.0, MUTED, "normal", 0.5),
    ):
        size = min(largest, 72 * WIDTH * columns / max(1, len(text)) / LETTER)
        figure.text(0.02, 1 - y / height, text, color=colour, fontsize=size, fontweight=weight, va="center")
    for number, panel in enumerate(picture.panels):
        row, column = divmod(number, columns)
        left, bottom, width, share = _place(picture, tall)
        part = tall / height
        place = ((column + left) / columns, (rows - 1 - row + bottom) * part, width / columns, share * part)
        _draw(figure.add_axes(place), picture, panel)
    return figure


def panel_height(picture: Picture, panel: Panel) -> float:
    """The height of a panel in inches: a dot plot has as much as its rows need."""
    return ROW * row_count(panel) + ABOVE_AND_BELOW if picture.axes.dots else HEIGHT


def _place(picture: Picture, height: float) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of the axes, as shares of their panel, which is `height` inches tall."""
    left, right = (LEFT_OF_DOTS, RIGHT_OF_DOTS) if picture.axes.dots else (LEFT, RIGHT)
    return left, BELOW / height, 1 - left - right, (height - BELOW - ABOVE) / height


def _draw(plot: Any, picture: Picture, panel: Panel) -> None:
    (draw_dots if picture.axes.dots else draw_lines)(plot, picture, panel)


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
