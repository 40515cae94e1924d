"""The child process of `equality.py`: reads pairs of answers as JSON lines, writes whether they are equal."""

import json
import logging
import resource
import sys

from math_verify import parse, verify

MEMORY_LIMIT_BYTES = 4 * 2**30


def equal(reference: str, answer: str) -> bool:
    """math-verify's verdict, without its own time limits (they need signals; the parent kills us instead)."""
    gold, guess = (parse(f"${text}$", parsing_timeout=None, raise_on_error=False) for text in (reference, answer))
    return bool(verify(gold, guess, timeout_seconds=None, raise_on_error=False))


def main() -> None:
    """Answer until standard input ends."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        reference, answer = json.loads(line)
        print(json.dumps(equal(reference, answer)), flush=True)


if __name__ == "__main__":
    main()
