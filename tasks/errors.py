"""The failures a run can meet, each told with its place and its remedy."""


class UserError(Exception):
    """A mistake that the user can mend: one message, no traceback, exit code 2."""


class ProblemError(UserError):
    """A row of a problem set, or a record of another tool, cannot be used."""


class EngineUnavailable(UserError):
    """An engine cannot be loaded: a package, a model or memory is missing."""


class EngineDied(Exception):
    """An engine stopped answering; loading it again may help, and journaled calls are not made again."""


class BadReply(Exception):
    """An engine answered with something that cannot be used, such as too few scores; asking again would not help."""


class PromptTooLong(BadReply):
    """A prompt has more tokens than its engine reads."""


class CellsFailed(Exception):
    """Some cells of a sweep failed and all others are finished; `failures` has a line with the reason for each."""

    def __init__(self, failures: tuple[str, ...]) -> None:
        super().__init__("; ".join(failures))
        self.failures = failures


class Regression(Exception):
    """A finished run is less accurate than an earlier one, beyond the interval; the run itself is complete and safe."""
