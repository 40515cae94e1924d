"""What is wrong with a recipe: each mistake with its key as it stands in the file, in plain words, with the remedy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from overthink.tasks.closest import closest, which
from overthink.tasks.errors import UserError
from overthink.tasks.pydantic_words import names_in, plain
from overthink.tasks.recipes.recipe_keys import homes_of, keys_of, models_at, tags_of

TAGS = ("engine", "source", "method")  # the keys that say which of several models a mapping is
Location = tuple[int | str, ...]


@dataclass(frozen=True)
class Complaint:
    """What is wrong at a place: the keys that lead there, none where it is about the whole."""

    keys: tuple[str, ...]
    words: str

    @property
    def told(self) -> str:
        """Both, as in `sampling.top_p: 2 is too large: give at most 1`."""
        return f"{'.'.join(self.keys)}: {self.words}" if self.keys else self.words


def complaints(error: ValidationError, value: Any, kind: type[BaseModel]) -> list[Complaint]:
    """What is wrong with a `value`, as it was read from a file, that should be one of this `kind`."""
    details = error.errors()
    places = [detail["loc"] for detail in details]
    found: dict[tuple[str, ...], list[str]] = {}
    for detail in details:
        # A list whose every item is wrong is also called too short: the items say it better.
        if any(place != detail["loc"] and place[: len(detail["loc"])] == detail["loc"] for place in places):
            continue
        keys = (*_written_keys(detail["loc"], value), *_tag_of(detail))
        found.setdefault(keys, []).append(_words(detail, kind))
    return [Complaint(keys, "; or ".join(dict.fromkeys(words))) for keys, words in found.items()]


def all_told(error: ValidationError, value: Any, kind: type[BaseModel]) -> str:
    """The complaints as one line."""
    return "; ".join(one.told for one in complaints(error, value, kind))


def _words(detail: Mapping[str, Any], kind: type[BaseModel]) -> str:
    location, value = detail["loc"], detail["input"]
    if detail["type"] == "extra_forbidden":
        return _unknown_key(str(location[-1]), location[:-1], kind)
    (tag,) = _tag_of(detail) or ("",)
    models = models_at(kind, location)
    if detail["type"] == "union_tag_not_found":
        return f"is missing: add one of {', '.join(tags_of(models, tag))}"
    keys = [key for key in TAGS if isinstance(value, str) and value in tags_of(models, key)]
    if keys and detail["type"] == "model_attributes_type":
        return f"a mapping is wanted, not {value!r}: write {{{keys[0]}: {value}}}"
    if keys and detail["type"] == "tuple_type":
        return f"a list of mappings is wanted, not {value!r}: write [{{{keys[0]}: {value}}}]"
    return plain(detail)


def _unknown_key(name: str, above: Location, kind: type[BaseModel]) -> str:
    known = keys_of(models_at(kind, above))
    homes = homes_of(kind, name)
    if homes and closest(name, known) is None and not above:
        return f"unknown key here: it stands below {' or '.join(homes)}"
    return f"unknown key: {which(name, known) if known else 'leave it out'}"


def _tag_of(detail: Mapping[str, Any]) -> tuple[str, ...]:
    """The key that says which member of a union is meant, where it is wrong or missing."""
    is_about_it = detail["type"] in ("union_tag_invalid", "union_tag_not_found")
    return tuple(names_in(detail["ctx"]["discriminator"])) if is_about_it else ()


def _written_keys(location: Location, value: Any) -> list[str]:
    """The keys of a complaint as they stand in the file: pydantic puts the names of unions' members between them."""
    keys: list[str] = []
    for depth, part in enumerate(location):
        is_last = depth == len(location) - 1
        if isinstance(value, dict) and (part in value or (is_last and part not in value.values())):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        keys.append(str(part))
    return keys


def blamed(found: Sequence[Complaint], without: Sequence[Complaint], place: str, changes: Sequence[str]) -> str:
    """The message about a recipe at a `place`, where `without` its `--set` changes it has those complaints already."""
    touched = [tuple(change.partition("=")[0].split(".")) for change in changes]
    own = [one.told for one in found if one in without]
    lines = [f"{place}: {'; '.join(own)}"] if own else []
    for one in (one for one in found if one not in without):
        is_set = any(_overlap(one.keys, keys) for keys in touched)
        lines.append(f"--set {one.told}" if is_set else f"{changed(place, changes)}: {one.told}")
    return "; ".join(lines)


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one of two places is the other, or lies in it; the whole recipe is no place."""
    depth = min(len(one), len(other))
    return depth > 0 and one[:depth] == other[:depth]


def changed(place: str, changes: Sequence[str]) -> str:
    """A recipe's place in messages, with the keys that the command line changed."""
    keys = dict.fromkeys(change.partition("=")[0] for change in changes)
    return " ".join([place, *(["with"] if keys else []), *(f"--set {key}" for key in keys)])


@contextmanager
def naming(place: str, changes: Sequence[str]) -> Iterator[None]:
    """Let mistakes that are found after a recipe was read name it too."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"{changed(place, changes)}: {error}") from error
