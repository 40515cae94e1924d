"""A folder as a data set on the Hugging Face hub: one commit, and none where it holds the same already."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overthink.tasks.errors import UserError

KIND = "dataset"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WITHOUT = "--to DIR writes the data set into a folder, without the hub"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
REFUSED = {
    401: f"the hub refuses the token: {LOGIN}",
    403: "the token may not write {name}: use one with the right to write data sets of {owner}",
    404: "the hub has no {name} for this token, and no place for it: check the name, and what the token may do",
}


class HubAway(Exception):
    """The hub did not do what it was asked, for a reason that passes; the same command tries it again."""


@dataclass(frozen=True)
class HubDataSet:
    """A data set on the hub that a run is pushed to: OWNER/NAME; who may see a new one; whether others are replaced."""

    name: str
    is_public: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or "--" in self.name or ".." in self.name or self.name.endswith(".git"):
            raise UserError(
                f"{self.name!r} names no data set of the hub: write OWNER/NAME in letters, digits, '-', '_' and '.'"
            )

    def prepare(self, run_id: str) -> None:
        """Make it where it is not there yet, private unless it is to be public.

        Raises UserError where it may not be written, or holds something else; HubAway where the hub does not answer.
        """
        from huggingface_hub.errors import RepositoryNotFoundError

        api = _client()
        with self._told():
            api.whoami()
            try:
                found = api.repo_info(self.name, repo_type=KIND)
            except RepositoryNotFoundError:
                api.create_repo(self.name, repo_type=KIND, private=not self.is_public)
                return
            self._check(found, run_id)

    def upload(self, folder: Path, run_id: str) -> str:
        """Make the data set what is in the folder, in one commit; returns its address.

        Files that it holds already are not sent again. Raises as `prepare` does.
        """
        api = _client()
        with self._told():
            api.upload_folder(
                repo_id=self.name,
                folder_path=folder,
                repo_type=KIND,
                commit_message=f"Run {run_id}",
                delete_patterns="*" if self.force else "*.parquet",
            )
        return f"{api.endpoint}/datasets/{self.name}"

    def _check(self, found: Any, run_id: str) -> None:
        """Raise UserError for a data set that others see unasked, or that is not of this run."""
        if found.private == self.is_public:
            seen, remedy = ("private", "leave out --public") if found.private else ("public", "say --public")
            raise UserError(f"{self.name} is {seen} on the hub: {remedy}, or change that in its settings there")
        files = {file.rfilename for file in found.siblings or ()} - {".gitattributes"}
        of = (found.card_data or {}).get("pretty_name")
        if files and of != run_id and not self.force:
            raise UserError(f"{self.name} holds {of or 'something else'}: name another, or replace it with --force")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what the hub's client raises as one message with the remedy."""
        from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

        try:
            yield
        except LocalTokenNotFoundError as error:
            raise UserError(f"there is no token for the hub: {LOGIN}; {WITHOUT}") from error
        except OfflineModeIsEnabled as error:
            raise UserError(f"HF_HUB_OFFLINE keeps this machine off the hub: unset it; {WITHOUT}") from error
        except HfHubHTTPError as error:
            raise self._refused(error.response.status_code, error.server_message) from error
        except (HTTPError, OSError) as error:
            raise HubAway(
                f"the hub cannot be reached ({type(error).__name__}): check the network; {WITHOUT}"
            ) from error
        except ValueError as error:  # what the client says of a card that the hub does not take
            raise UserError(f"the hub refuses the card: {' '.join(str(error).split())}: check --licence") from error

    def _refused(self, status: int, message: str | None) -> Exception:
        if status in REFUSED:
            return UserError(REFUSED[status].format(name=self.name, owner=self.name.partition("/")[0]))
        if status == 409:
            return HubAway(f"{self.name} was written by somebody else at the same time: run the same command again")
        if status == 429 or status >= 500:
            return HubAway(f"the hub answered {status}: run the same command again later; {WITHOUT}")
        return UserError(
            f"the hub refuses {self.name} ({status}: {message or 'no reason'}): check the name and --licence"
        )


def _client() -> Any:
    """The hub's client, which prints nothing of its own but progress in a terminal."""
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars, logging

    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    return huggingface_hub.HfApi(library_name="overthink")
