"""Worked examples from a file, which stand before the question as turns of the chat."""

from pathlib import Path

from overthink.tasks.datasets.input_files import json_objects
from overthink.tasks.datasets.rows import text_field
from overthink.tasks.errors import ProblemError

ROLES = ("user", "assistant")


def read_shots(path: Path) -> list[dict[str, str]]:
    """The examples of a .jsonl file, each with what the `user` asks and what the `assistant` answers.

    Raises ProblemError naming file and row, with the remedy.
    """
    shots = []
    try:
        for number, row in json_objects(path):
            place = f"{path}, row {number}"
            if isinstance(row, str):
                raise ProblemError(f"{place}: {row}")
            if set(row) != set(ROLES):
                raise ProblemError(f"{place}: an example has the fields user and assistant, not {', '.join(row)}")
            shots.append({role: text_field(place, row, role) for role in ROLES})
    except (OSError, ValueError) as error:
        raise ProblemError(f"{path}: cannot be read ({error}): check `prompt.few_shot`") from error
    if not shots:
        raise ProblemError(f"{path}: no example in it; leave out `prompt.few_shot` for none")
    return shots
