"""What a process says of the run that it makes: a small file of its own in the run's folder, for other shells to read.

runs/<run>/live/<host>-<pid>.json

It is written at most once a second and replaced whole, but not flushed to the disk: after a crash of the machine nobody
needs it. Its age tells a process that works from one that was killed.
"""

import json
import re
import shutil
import stat
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from overthink.storage.files import TEMPORARY_SUFFIX, disk_errors
from overthink.storage.record_files import EXACT

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
MOST_BYTES = 64 * 1024  # of a report, which has about 1 KiB
# A number outside of these comes of damage; arithmetic with it would fail or give nonsense.
MOST, LEAST_RATE = 10**15, 1e-12

Count = Annotated[int, Field(ge=0, le=MOST)]
Amount = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=LEAST_RATE, le=MOST, allow_inf_nan=False)]


@dataclass(frozen=True)
class Spending:
    """Tokens that the policy wrote and the PRM read, and seconds of engines at work; None where unknown.

    `gpu_seconds` are the engines' seconds times the GPUs that they take.
    """

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    policy_tokens: Count | None = 0
    prm_tokens: Count | None = 0
    engine_seconds: Amount | None = 0.0
    gpu_seconds: Amount | None = 0.0

    def __add__(self, other: "Spending") -> "Spending":
        sums = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            sums[field.name] = None if mine is None or theirs is None else mine + theirs
        return Spending(**sums)


@dataclass(frozen=True)
class StageReport:
    """How far one process is with a stage of `problems` (or of what `unit` says).

    `found` were done when it began, `stored` are in parts that it wrote or saw written since, `in_hand` are done in
    parts that it is still making; `under_way` is what has been done of the others, as a number of problems. `rate` is
    of problems a second, without what was found or replayed. Rates are None where unknown.
    """

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    title: str
    number: Count | None
    of: Count | None
    began_at: Amount
    problems: Count
    found: Count
    stored: Count = 0
    in_hand: Count = 0
    under_way: Amount = 0.0
    rate: Rate | None = None
    tokens_per_second: Amount | None = None
    in_flight: Count = 0
    loading: str | None = None
    unit: str = "problem"


@dataclass(frozen=True)
class LiveReport:
    """What one process says. Times are seconds since 1970; `stage` is None between stages.

    `later_seconds` is what the stages to come will take this process alone, but for those named in `later_unknown`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    pid: Count
    host: str
    began_at: Amount
    written_at: Amount
    spent: Spending
    stage: StageReport | None = None
    later_seconds: Amount = 0.0
    later_unknown: tuple[str, ...] = ()
    has_ended: bool = False

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{_NOT_IN_NAMES.sub('-', self.host)}-{self.pid}.json"

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(asdict(self), ensure_ascii=False)


_REPORT = TypeAdapter(LiveReport)


class LiveReports:
    """The reports of the processes that make one run or sweep, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> list[LiveReport]:
        """All reports, in the order of their files' names; those of processes that were killed are among them."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(_read_report(path))
            except OSError:  # removed by a new life of the run, or not ours to read
                continue
        return [report for report in found if report is not None]

    def write(self, report: LiveReport) -> None:
        """Replace the report of this process. Raises StorageError."""
        path = self.folder / report.name
        with disk_errors(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
            temporary.write_text(report.to_json(), encoding="utf-8")
            temporary.replace(path)

    def clear(self) -> Spending:
        """Remove all reports, of earlier lives or of a complete run; returns what was spent. Raises StorageError."""
        spent = sum((report.spent for report in self.read()), Spending())
        with disk_errors(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
        return spent


def _read_report(path: Path) -> LiveReport | None:
    """The report in a file; None where it is none: not a regular file, too large, or damaged. Raises OSError."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:  # a FIFO would block
        return None
    report = parse_report(path.read_bytes())
    if report is None or report.written_at <= time.time():
        return report
    # A clock is ahead. By its own time the report would look fresh long after its writer's death; the file's is that of
    # the file system, which all writers share.
    return replace(report, written_at=status.st_mtime)


def parse_report(text: str | bytes) -> LiveReport | None:
    """The report in a file's text; None where it is none, such as one of another version."""
    try:
        return _REPORT.validate_json(text)
    except ValidationError:
        return None
