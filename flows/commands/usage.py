"""A command line that cannot be read: one plain message with the remedy, as for every other mistake."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from overthink.flows.commands.terminal import plain_errors
from overthink.tasks.closest import closest, which
from overthink.tasks.errors import UserError
from overthink.tasks.pydantic_words import names_in, plain, unknown_value

NO_CHOICE = "is not one of"


class PlainGroup(TyperGroup):
    """The commands of `overthink`, whose usage errors are told as its others are."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command line. Without any words it is the help, which typer prints."""
        if not args:
            return super().make_context(info_name, args, parent, **extra)
        with _told_plainly():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Read the words of the command itself, and run it."""
        with _told_plainly():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of this name. Raises UserError with the one that was perhaps meant."""
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UserError(f"there is no command {args[0]!r}: {which(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@contextmanager
def _told_plainly() -> Iterator[None]:
    with plain_errors():
        try:
            yield
        except typer.TyperException as error:
            raise UserError(_words(error)) from error


def _words(error: Any) -> str:
    command = getattr(error, "ctx", None)
    path = command.command_path if command else "overthink"
    see = f"see `{path} --help`"
    if hasattr(error, "possibilities"):  # an option that is none
        known = [name for one in command.command.params for name in one.opts] if command else []
        meant = closest(error.option_name, known)
        return f"`{path}` has no option {error.option_name}: {see if meant is None else f'did you mean {meant}?'}"
    if getattr(error, "param", None) is None:
        return f"`{path}`: {str(error.message).rstrip('.')}: {see}"
    name = _called(error.param)
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return f"{name}: {_of_value(cause)}"
    return f"`{path}` lacks {name}: {see}" if not error.message else f"{name}: {error.message}"


def _called(parameter: Any) -> str:
    """What the help calls an option or an argument."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name).strip("[]").upper()


def _of_value(cause: ValidationError) -> str:
    detail = cause.errors()[0]
    told = plain(detail)
    return unknown_value(detail["input"], names_in(told.partition(NO_CHOICE)[2])) if NO_CHOICE in told else told
