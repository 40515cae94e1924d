"""Curves as inline SVG by matplotlib, and a self-contained page of them with the SQL behind each."""

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
figure {{ margin: 2.5rem 0; }} svg {{ max-width: 100%; height: auto; }}
pre {{ background: #f4f4f4; padding: .8rem; overflow-x: auto; font-size: 13px; }}
</style></head><body><h1>{title}</h1>
{pictures}
</body></html>
"""
PICTURE = """<figure><figcaption><h2>{title}</h2><p>{caption}</p></figcaption>
{svg}
<details><summary>SQL</summary><pre>{sql}</pre></details></figure>
"""


@dataclass(frozen=True)
class Line:
    """Points (x, y) under one name."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axes:
    """Names of both axes; y lies in [0, 1]. `diagonal` adds the line y = x, `doubling` makes x logarithmic."""

    x: str
    y: str
    diagonal: bool = False
    doubling: bool = False


@dataclass(frozen=True)
class Picture:
    """A drawing, what it shows, and the query that gives its numbers."""

    title: str
    caption: str
    svg: str
    sql: str


def curves(lines: Sequence[Line], axes: Axes) -> str:
    """Lines over one pair of axes, as an `<svg>` element."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    plot = figure.add_subplot()
    if axes.diagonal:
        plot.plot((0, 1), (0, 1), color="grey", linestyle="dotted", label="y = x")
    for line in lines:
        plot.plot(*zip(*line.points, strict=True), marker="o", markersize=3, label=line.name)
    if axes.doubling:
        plot.set_xscale("log", base=2)
        plot.xaxis.set_major_formatter("{x:g}")
    plot.set(xlabel=axes.x, ylabel=axes.y, ylim=(-0.03, 1.03))
    plot.grid(alpha=0.3)
    plot.legend()
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(stream)
    drawn = stream.getvalue()
    return drawn[drawn.index("<svg") :]


def page(title: str, pictures: Sequence[Picture]) -> str:
    """One HTML page that needs no other file."""
    drawn = (
        PICTURE.format(
            title=html.escape(picture.title),
            caption=html.escape(picture.caption),
            svg=picture.svg,
            sql=html.escape(picture.sql),
        )
        for picture in pictures
    )
    return PAGE.format(title=html.escape(title), pictures="\n".join(drawn))
