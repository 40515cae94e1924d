"""Text and tables from a store, fit for a terminal."""


def printable(text: str) -> str:
    """Text from elsewhere, fit for a terminal: what could steer it, or cannot be written to it, is spelt out."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


MOST_ROWS = 200
