"""The script's engines in a process of their own, which waits while other ways are measured."""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from benchmarks.script import Script
from benchmarks.search_case import MethodName
from overthink.tasks.recipes.recipe import Recipe


class ScriptProcess:
    """Loads a recipe's engines when it is made; they end when it is closed, or when this process ends."""

    def __init__(self, recipe: Recipe) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._connection, theirs = spawning.Pipe()
        self._process = spawning.Process(target=answer, args=(theirs, recipe))
        self._process.start()
        theirs.close()
        self._connection.recv()

    def solve(self, questions: Sequence[str], method: MethodName) -> tuple[float, int]:
        """Seconds taken and tokens written for all questions together. Raises EOFError where the script ended."""
        self._connection.send((list(questions), method))
        seconds, tokens = self._connection.recv()
        return seconds, tokens

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._process.join()


def answer(connection: Connection, recipe: Recipe) -> None:
    """Load, say so, and solve what arrives until the other end is closed."""
    script = Script(recipe)
    connection.send(None)
    while True:
        try:
            questions, method = connection.recv()
        except EOFError:
            return
        before, begin = script.tokens, time.perf_counter()
        script.solve(questions, method)
        connection.send((time.perf_counter() - begin, script.tokens - before))
