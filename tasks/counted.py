"""A number with what it counts, in the singular where it is one."""


def counted(count: int, what: str, plural: str = "") -> str:
    """`1 problem`, `2 problems`; a plural that is not made by an s is given."""
    return f"{count:,} {what if count == 1 else plural or f'{what}s'}"
