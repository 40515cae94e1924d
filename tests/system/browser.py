"""Headless Chromium, driven over its debugging pipe: what a page asks of the network, says, and looks like."""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 120  # seconds for one answer, on a machine that does much else
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")

FLAWS = Path(__file__).with_name("page_flaws.js").read_text(encoding="utf-8")


class Browser:
    """One page in a fresh profile."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
        redirected = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out} 2>/dev/null'
        words = ["bash", "-c", redirected, CHROMIUM, *FLAGS, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(words, pass_fds=(theirs_in, theirs_out))
        os.close(theirs_in)
        os.close(theirs_out)
        self.input, self.output = ours_out, ours_in
        self.unread = b""
        self.asked = 0
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def show(self, page: Path | str, width: int, height: int, scheme: str = "light") -> None:
        """Load a page, a file or an address, in a window of this size, for readers who prefer light or dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        url = page if isinstance(page, str) else page.resolve().as_uri()
        self.leave(lambda: self.ask("Page.navigate", url=url))

    def leave(self, act: Callable[[], object]) -> None:
        """Do what leads to another page, and wait until that is loaded."""
        self.events.clear()
        act()
        while not self.heard("Page.loadEventFired"):
            self.events.append(self._read())

    def heard(self, *methods: str) -> list[dict[str, Any]]:
        """The events of these kinds since the page was asked for."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def requests(self) -> list[str]:
        """All addresses that were asked for, but for those that are their own content."""
        asked = [params["request"]["url"] for params in self.heard("Network.requestWillBeSent")]
        return [url for url in asked if not url.startswith("data:")]

    def value(self, script: str) -> Any:
        """What an expression is worth in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")  # what is undefined has none

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Carry out one command of the DevTools protocol."""
        self.asked += 1
        session = {} if self.session is None else {"sessionId": self.session}
        message = {"id": self.asked, "method": method, "params": params, **session}
        os.write(self.input, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.asked:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self.unread:
            ready, *_ = select.select([self.output], [], [], max(0, until - time.monotonic()))
            piece = os.read(self.output, 1 << 20) if ready else b""
            assert piece, "the browser does not answer"
            self.unread += piece
        message, self.unread = self.unread.split(b"\0", 1)
        return dict(json.loads(message))

    def close(self) -> None:
        """End the browser."""
        self.session = None
        with suppress(AssertionError, OSError):
            self.ask("Browser.close")
        self.process.wait(PATIENCE)
        os.close(self.input)
        os.close(self.output)


def opened_browser(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, closed at the end; whoever wants one is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install the package `chromium` to look at pages in a browser")
    opened = Browser(profile)
    yield opened
    opened.close()
