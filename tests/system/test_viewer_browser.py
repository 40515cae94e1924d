"""The viewer in a browser: the walk to why a problem was wrong, its keyboard, and hostile text that does nothing."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from browser import COMPLAINTS, FLAWS, Browser, opened_browser
from commanding import overthink
from viewed_store import SEARCHED, a_report, write_store

from benchmarks.vllm_server import free_port
from overthink.storage.store import Store
from overthink.tasks.reporting.viewer.addresses import address
from overthink.tasks.reporting.viewer.loopback_server import viewer_app

TOKEN = "a-token-of-the-tests"
# What a text may try: markup, scripts, links and pictures of TeX, boxes as large as a page, macros for what follows.
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title = 'owned'</script> "
    "$\\href{javascript:document.title='owned'}{x}$ $\\includegraphics{http://127.0.0.1:9/x.png}$ "
    "$\\htmlStyle{position:fixed;inset:0;background:red}{x}$ $\\gdef\\frac#1#2{owned}$ $\\rule{900em}{900em}$ "
    "$\\kern-900em\\raisebox{900em}{\\Huge owned}$ \\[\\def\\x{\\x\\x}\\x\\] \u202e\u0000\x1b[31m "
)
PAGES = {
    "runs": ("", {}),
    "problems": ("run", {"run": "first"}),
    "problem": ("problem", {"run": "first", "problem": "outvoted"}),
    "tree": ("tree", {"run": "first", "problem": "outvoted", "method": SEARCHED}),
    "compare": ("compare", {"run": "first", "other": "second"}),
    "both": ("both", {"run": "first", "other": "second", "problem": "outvoted"}),
}
UNFOLD = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from opened_browser(tmp_path_factory.mktemp("profile"))


def served(store: Store) -> Iterator[str]:
    """The address of a store's viewer while it is served."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(viewer_app(store, TOKEN), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}/{TOKEN}/"
    server.should_exit = True
    thread.join()


closing_server = contextmanager(served)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from served(write_store(tmp_path_factory.mktemp("viewed")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from served(write_store(tmp_path_factory.mktemp("hostile"), lambda text: f"{text}{HOSTILE}"))


def until(browser: Browser, script: str) -> None:
    """Wait until an expression is true in the page."""
    end = time.monotonic() + 60
    while not browser.value(script):
        assert time.monotonic() < end, f"{script} stays false: {browser.value('document.body.innerText')[:2000]}"
        time.sleep(0.05)


def press(browser: Browser, key: str) -> None:
    more = {"text": "\r", "windowsVirtualKeyCode": 13} if key == "Enter" else {"text": key} if len(key) == 1 else {}
    browser.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
    browser.ask("Input.dispatchKeyEvent", type="keyUp", key=key)


def turn(browser: Browser, key: str) -> None:
    """Press a key that leads to another page, and wait for it."""
    browser.leave(lambda: press(browser, key))


def click(browser: Browser, words: str) -> None:
    """Click the link with these words, and wait for its page."""
    find = f"[...document.querySelectorAll('main a')].find((one) => one.innerText.startsWith({json.dumps(words)}))"
    browser.leave(lambda: browser.value(f"setTimeout(() => {find}.click())"))


def test_three_clicks_lead_from_a_store_to_why_a_problem_was_wrong(browser: Browser, viewer: str) -> None:
    browser.show(viewer, 1400, 900)
    for words in ("first", "wrong, though a right one was there", "What is"):
        click(browser, words)
    why = browser.value("document.querySelector('.why').innerText")
    assert "majority chose 5 among the first 4 rollouts, which is wrong: the reference is 7." in why
    assert "It has 3 votes, the right answer 1." in why
    assert browser.heard(*COMPLAINTS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_shown_whole(browser: Browser, viewer: str, name: str, width: int, scheme: str) -> None:
    browser.show(viewer + address(*PAGES[name]), width, 900, scheme)
    browser.value(UNFOLD)
    assert browser.value(FLAWS) == []
    assert browser.heard(*COMPLAINTS) == []
    assert all(url.startswith(viewer) for url in browser.requests())
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 24, 29)") == (scheme == "dark")


def test_mathematics_is_typeset_and_money_is_not(browser: Browser, viewer: str) -> None:
    browser.show(viewer + address(*PAGES["problem"]), 1400, 900)
    until(browser, "document.querySelector('.question .katex .mfrac') !== null")
    assert "$6?" in browser.value("document.querySelector('.question').innerText")
    browser.value(UNFOLD)
    until(browser, "document.querySelectorAll('.steps .katex').length >= 2")
    assert browser.heard(*COMPLAINTS) == []


def test_m_shows_mathematics_as_it_was_written(browser: Browser, viewer: str) -> None:
    browser.show(viewer + address(*PAGES["problem"]), 1400, 900)
    for is_typeset in (False, True):
        turn(browser, "m")
        until(browser, f"(document.querySelector('.question .katex') !== null) === {str(is_typeset).lower()}")


def test_the_keyboard_reaches_everything(browser: Browser, viewer: str) -> None:
    browser.show(viewer + address("run", {"run": "first", "sort": "hardest"}), 1400, 900)
    press(browser, "/")
    assert browser.value("document.activeElement.name") == "q"
    press(browser, "Escape")
    for key in "jjk":
        press(browser, key)
    turn(browser, "Enter")
    assert browser.value("document.title").startswith("hopeless")
    for key, title in (("ArrowRight", "outvoted"), ("ArrowLeft", "hopeless")):
        turn(browser, key)
        assert browser.value("document.title").startswith(title)
    press(browser, "?")
    assert browser.value("document.getElementById('keys').open")
    press(browser, "?")
    press(browser, "e")
    opened = "[...document.querySelectorAll('.rollout')].map((one) => one.open)"
    assert browser.value(opened) == [False] * 4, "of four rollouts all are open at first"
    press(browser, "j")
    press(browser, "Enter")
    assert browser.value(opened) == [True, False, False, False]
    turn(browser, "u")
    assert "sort=hardest" in browser.value("location.search")


def test_a_link_to_a_rollout_opens_it(browser: Browser, viewer: str) -> None:
    browser.show(viewer + address(*PAGES["both"]) + "#or2", 1400, 900)
    until(browser, "document.getElementById('or2').open")
    assert browser.value("document.getElementById('or2').classList.contains('here')")


@pytest.mark.parametrize("name", PAGES)
def test_hostile_text_runs_nothing_and_draws_nothing(browser: Browser, hostile: str, name: str) -> None:
    page, parameters = PAGES[name]
    texts = {key: f"{value}{HOSTILE}" for key, value in parameters.items() if key == "problem"}
    browser.show(hostile + address(page, parameters | texts), 1400, 900)
    browser.value(UNFOLD)
    time.sleep(1)  # for what is typeset once it is in view
    assert browser.value("document.title").endswith("Overthink")
    assert browser.value("document.querySelectorAll('img, iframe, a[href^=javascript], main script').length") == 0
    assert browser.value("document.querySelectorAll('script').length") == 4
    assert all(url.startswith(hostile) for url in browser.requests())
    assert browser.heard(*COMPLAINTS) == []
    top = "document.querySelector('.top').contains(document.elementFromPoint(innerWidth / 2, 20))"
    assert browser.value(top), "nothing lies over the page's head"
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.value("document.documentElement.scrollHeight") < 60_000


def test_an_export_is_read_without_a_server(browser: Browser, tmp_path: Path) -> None:
    store, folder = write_store(tmp_path / "store"), tmp_path / "pages"
    assert overthink("view", store.address, "--export", folder).returncode == 0
    browser.show(folder / "index.html", 390, 900)
    for words in ("first", "wrong, though a right one was there", "What is"):
        click(browser, words)
    assert "It has 3 votes, the right answer 1." in browser.value("document.querySelector('.why').innerText")
    until(browser, "document.querySelector('.question .katex .mfrac') !== null")
    assert browser.heard(*COMPLAINTS) == []
    assert all(url.startswith(folder.resolve().as_uri()) for url in browser.requests())
    assert browser.value("getComputedStyle(document.querySelector('.question')).whiteSpace") == "pre-wrap"


def test_a_page_follows_a_run_that_is_being_made_unless_its_reader_is_busy(browser: Browser, tmp_path: Path) -> None:
    store = write_store(tmp_path)
    store.write_run(replace(store.find_run("first"), status="running"))
    said = a_report(written_at=time.time() + 600, problems=500)
    store.reports("first").write(said)
    with store.lock_run("first"), closing_server(store) as place:
        browser.show(f"{place}run?run=first", 390, 900)
        until(browser, "document.querySelector('.live').innerText.includes('6 of 500 problems')")
        assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        browser.value("document.querySelector('[name=q]').focus()")
        store.reports("first").write(a_report(written_at=time.time() + 600, problems=700))
        time.sleep(6)
        assert browser.value("document.querySelector('.live').innerText.includes('6 of 500 problems')")
        browser.value("document.activeElement.blur()")
        until(browser, "document.querySelector('.live')?.innerText.includes('6 of 700 problems')")
        assert browser.heard(*COMPLAINTS) == []
