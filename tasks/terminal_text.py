"""Text and tables from a store, made safe for a terminal."""


def printable(text: str) -> str:
    """Make untrusted text safe for a terminal: control and unencodable characters are written as escapes."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


MOST_ROWS = 200
