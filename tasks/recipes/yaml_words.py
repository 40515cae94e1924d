"""What PyYAML found wrong with a text, in plain words: the line, what is wrong, and the remedy."""

import re

import yaml

# What PyYAML says of the commonest mistakes, in its context or its problem, and what they are.
WORDS = (
    (r"'\\t' that cannot start", "a tab indents it: indent with spaces"),
    (r"mapping values are not allowed", "a second `: ` stands in it: put the value in quotes"),
    (r"could not find expected ':'", "a key without `: ` and a value"),
    (r"expected ',' or '\]'", "a [ is not closed: end the list with ]"),
    (r"expected ',' or '\}'", "a { is not closed: end the mapping with }"),
    (r"expected the node content", "a value is missing, or a bracket before it is not closed"),
    (r"quoted scalar", "a quote is not closed: end the text with the same quote"),
    (r"undefined alias", "a * that begins a value refers to an &anchor, and there is none: put the value in quotes"),
    (r"constructor for the tag", "a ! that begins a value is a tag, and none is taken: put the value in quotes"),
    (r"unhashable key", "a list or a mapping stands in place of a key: put the value in quotes"),
    (r"'[`@%]' that cannot start", "a value begins with a character that YAML keeps for itself: put it in quotes"),
    (r"expected <block end>", "it is indented otherwise than the lines beside it: align them"),
)


def plain_yaml(error: yaml.YAMLError) -> str:
    """The mistake as one line, such as `line 2: a tab indents it: indent with spaces`."""
    if isinstance(error, yaml.reader.ReaderError):
        return f"character {error.position + 1} is none that YAML takes: write it as an escape in double quotes"
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    said = f"{error.context or ''} {error.problem or ''}"
    words = next((words for pattern, words in WORDS if re.search(pattern, said)), error.problem)
    # An open bracket is found missing at the end of the text: where it was opened says more.
    mark = error.context_mark if words and "is not closed" in words else error.problem_mark
    return str(words) if mark is None else f"line {mark.line + 1}: {words}"
