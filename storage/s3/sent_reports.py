"""Live reports in a bucket: each process sends its own now and then, so that other machines see how far a run is.

They are only shown, so an unreachable bucket delays no run: a report that cannot be sent is followed by the next.
"""

import logging
import threading
import time
from pathlib import Path

from overthink.storage.live_reports import LiveReport, LiveReports, Spending, parse_report
from overthink.storage.s3.bucket import Bucket
from overthink.storage.storage_errors import StorageError

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
SECONDS_FOR_THE_LAST = 5.0


class SentReports(LiveReports):
    """The reports of one run: those in the folder, and those of other machines, which are in the bucket under `key`."""

    def __init__(self, folder: Path, bucket: Bucket, key: str) -> None:
        super().__init__(folder)
        self._bucket = bucket
        self._key = key
        self._sent_at = -EVERY_SECONDS
        self._sending: threading.Thread | None = None

    def read(self) -> list[LiveReport]:
        """As in a folder, with those of other machines; of a process on this one, what it says here counts."""
        texts = map(self._bucket.read, self._bucket.objects(self._key))
        there = [report for text in texts if text is not None and (report := parse_report(text)) is not None]
        found = {report.name: report for report in (*there, *super().read())}
        return [found[name] for name in sorted(found)]

    def write(self, report: LiveReport) -> None:
        """Replace the report here, and send it where the last one is old enough; only the last word is waited for."""
        super().write(report)
        is_due = report.has_ended or time.monotonic() - self._sent_at >= EVERY_SECONDS
        if not is_due or (self._sending is not None and self._sending.is_alive()):
            return
        self._sent_at = time.monotonic()
        self._sending = threading.Thread(target=self._send, args=(report.name,), daemon=True, name="live-report")
        self._sending.start()
        if report.has_ended:
            self._sending.join(SECONDS_FOR_THE_LAST)

    def clear(self) -> Spending:
        """As in a folder, and in the bucket."""
        spent = super().clear()
        self._bucket.remove_folder(self._key)
        return spent

    def _send(self, name: str) -> None:
        try:
            self._bucket.impatient().upload(f"{self._key}/{name}", self.folder / name)
        except StorageError as error:
            logger.warning("other machines do not see how far this run is: %s", error)
