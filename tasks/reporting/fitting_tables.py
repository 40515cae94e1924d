"""A table that is wider than the terminal, as several that fit: no name and no figure is cut."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

SEPARATION = 3  # columns of a terminal between two cells
LONGEST_WORD = 24  # cells of up to so many columns stay on one line; longer ones are folded


def fitting_tables(table: Table, width: int, keys: int = 1) -> list[Table]:
    """The table, where it fits into `width` columns; else its columns in groups that do, each after the first `keys`.

    A column that alone is too wide is folded.
    """
    widths = [_width(column) for column in table.columns]
    if 1 + sum(one + SEPARATION for one in widths) <= width:
        return [table]
    free = width - 1 - sum(min(one, width // 3) + SEPARATION for one in widths[:keys])
    groups: list[list[int]] = []
    left = 0
    for place in range(keys, len(widths)):
        needed = widths[place] + SEPARATION
        if not groups or needed > left:
            groups.append([])
            left = free
        groups[-1].append(place)
        left -= needed
    parts = [_part(table, [*range(keys), *group]) for group in groups]
    parts[0].title, parts[-1].caption = table.title, table.caption
    return parts


def _part(table: Table, places: Sequence[int]) -> Table:
    """A table of some of the columns."""
    part, columns = Table(), [table.columns[place] for place in places]
    for column in columns:
        fits = _width(column) <= LONGEST_WORD
        part.add_column(column.header, justify=column.justify, no_wrap=fits, overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        part.add_row(*cells)
    return part


def _width(column: Column) -> int:
    """The columns of a terminal that a column's header and cells take, each on as many lines as it has."""
    lines = [line for cell in (column.header, *column.cells) for line in _plain(cell).splitlines()]
    return max(map(cell_len, lines), default=0)


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
