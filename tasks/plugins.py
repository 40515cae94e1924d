"""Code of other packages: methods, selectors and domains that installed distributions register by entry points.

A distribution names them in the groups `overthink.methods`, `overthink.selectors` and `overthink.domains`. What it adds
is imported where a recipe names it, and never by a path that a recipe gives.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from overthink.tasks.errors import UserError

Group = Literal["methods", "selectors", "domains"]
NAME = re.compile(r"[a-z][a-z0-9_]*")  # it becomes part of a method_id, of which dashes end the parts


@dataclass(frozen=True)
class Plugin:
    """What one distribution registers under one name; `rivals` are the others that take the same name."""

    group: Group
    entry: EntryPoint
    rivals: tuple[str, ...]

    @property
    def distribution(self) -> str:
        """The installed distribution, as pip names it."""
        return self.entry.dist.name if self.entry.dist else "unknown"

    @property
    def release(self) -> str:
        """The distribution's version."""
        return self.entry.dist.version if self.entry.dist else "unknown"

    @property
    def told(self) -> str:
        """What a message calls it."""
        return f"{self.group[:-1]} {self.entry.name!r} of the distribution {self.distribution} {self.release}"

    def load(self) -> Any:
        """What is registered. Raises UserError, naming the distribution, where the name is taken or it is broken."""
        if self.rivals:
            raise UserError(f"{self.told} is registered by {', '.join(self.rivals)} too: uninstall one of them")
        if not NAME.fullmatch(self.entry.name):
            raise UserError(f"{self.told} cannot be used: a name is small letters, digits and _")
        try:
            return self.entry.load()
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UserError(f"{self.told} cannot be loaded ({reason}): mend it or uninstall it") from error

    def load_as(self, kind: type) -> Any:
        """The same, and UserError where it is no `kind` or has no whole `version`."""
        loaded = self.load()
        is_kind = issubclass(loaded, kind) if isinstance(loaded, type) else isinstance(loaded, kind)
        if not is_kind or not isinstance(getattr(loaded, "version", None), int):
            raise UserError(f"{self.told} cannot be used: it is no {kind.__name__} with a whole `version`")
        return loaded

    def identity(self) -> dict[str, Any]:
        """What determines what it computes, for the key of a stage."""
        return {"distribution": self.distribution, "release": self.release, "version": self.load().version}


@cache
def installed(group: Group) -> tuple[EntryPoint, ...]:
    """What the distributions that this interpreter finds register in a group; looked up once."""
    return tuple(entry_points(group=f"overthink.{group}"))


def plugins(group: Group, built_in: Collection[str]) -> Mapping[str, Plugin]:
    """What is installed, by name; a name that is `built_in` too is a clash with overthink itself."""
    entries = installed(group)
    found: dict[str, Plugin] = {}
    for entry in entries:
        others = [other for other in entries if other.name == entry.name and other is not entry]
        rivals = tuple(Plugin(group, other, ()).distribution for other in others)
        ours = ("overthink",) if entry.name in built_in else ()
        found.setdefault(entry.name, Plugin(group, entry, (*ours, *rivals)))
    return found


def plugin_identities(group: Group, names: Collection[str]) -> dict[str, Any]:
    """The part of a stage's identity that says which plug-ins computed it; empty where all is built in."""
    installed = plugins(group, ())
    used = {name: installed[name].identity() for name in sorted(names) if name in installed}
    return {f"{group[:-1]}_plugins": used} if used else {}
