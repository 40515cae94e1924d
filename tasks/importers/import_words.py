"""The words with which a user says what is imported; a command's help needs them, and nothing of what reads files."""

from typing import Literal

ImportFormat = Literal[
    "compute-optimal-tts", "search-and-learn", "answer-counts", "lm-eval", "inspect", "codet", "jsonl"
]
WhichSelectors = Literal["default", "all"]
ANY = "any"  # marks of reasoning, of every family
