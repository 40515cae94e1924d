"""The viewer's server: who may ask it, what its answers allow, and that no text of a store is more than text."""

import re
import socket
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commanding import overthink
from starlette.testclient import TestClient
from viewed_store import write_store

from overthink.tasks.reporting.viewer.loopback_server import viewer_app

TOKEN = "a-token-of-the-tests"
PLACE = "http://127.0.0.1:8765"
HOSTILE = (
    "</script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>\" onclick='x' {{ 7 * 7 }} \u202e"
)

ELEMENTS = {
    *(
        "a",
        "aside",
        "b",
        "body",
        "br",
        "button",
        "code",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "form",
        "h1",
        "h2",
    ),
    *(
        "h3",
        "head",
        "header",
        "html",
        "i",
        "input",
        "kbd",
        "label",
        "li",
        "link",
        "main",
        "meta",
        "nav",
        "ol",
        "option",
    ),
    *("p", "pre", "rect", "script", "section", "select", "small", "span", "strong", "summary", "svg", "table", "tbody"),
    *("td", "th", "thead", "time", "title", "tr"),
}
ATTRIBUTES = {
    *("action", "aria-current", "aria-hidden", "aria-label", "charset", "class", "content", "data-item", "data-key"),
    *("data-opens", "defer", "height", "hidden", "href", "id", "lang", "method", "name", "open", "placeholder"),
    *("preserveaspectratio", "rel", "selected", "src", "title", "type", "value", "viewbox", "width"),
}


class Tags(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(viewer_app(write_store(tmp_path_factory.mktemp("viewed")), TOKEN), PLACE) as opened:
        yield opened


def test_the_address_with_the_token_shows_the_runs(client: TestClient) -> None:
    assert "2 runs" in client.get(f"/{TOKEN}/").text


@pytest.mark.parametrize("path", ["/", "/wrong/", f"/{TOKEN[:-1]}/", "/static/viewer.css", "/wrong/static/viewer.css"])
def test_without_the_token_nothing_is_shown(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 403
    assert answer.text == "this address lacks the token: open the address that `overthink view` printed\n"


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_a_tunnel_may_have_another_port(client: TestClient, host: str) -> None:
    assert client.get(f"/{TOKEN}/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "127.0.0.1:x"]
)
def test_a_name_that_another_site_points_here_is_refused(client: TestClient, host: str) -> None:
    answer = client.get(f"/{TOKEN}/", headers={"host": host})
    assert (answer.status_code, answer.text) == (403, "the viewer answers at 127.0.0.1 and localhost alone\n")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:8765"])
def test_another_origin_is_refused(client: TestClient, origin: str) -> None:
    answer = client.get(f"/{TOKEN}/", headers={"origin": origin})
    assert (answer.status_code, answer.text) == (403, "the viewer answers no other site\n")


def test_its_own_origin_is_not(client: TestClient) -> None:
    assert client.get(f"/{TOKEN}/", headers={"origin": PLACE}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_only_reads(client: TestClient, method: str) -> None:
    assert client.request(method, f"/{TOKEN}/").status_code == 405


@pytest.mark.parametrize("path", ["/", "/run?run=first", "/static/viewer.css", "/nothing", "/../pyproject.toml"])
def test_every_answer_allows_its_own_files_alone(client: TestClient, path: str) -> None:
    headers = client.get(f"/{TOKEN}{path}").headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


def test_what_is_not_there_is_said_on_a_page(client: TestClient) -> None:
    answer = client.get(f"/{TOKEN}/run", params={"run": "<b>x</b>"})
    assert answer.status_code == 404
    assert "the store has no run &#39;&lt;b&gt;x&lt;/b&gt;&#39;" in answer.text
    assert client.get(f"/{TOKEN}/no-page").status_code == 404
    assert client.get(f"/{TOKEN}/static/../viewer_pages.py").status_code == 404


def test_parts_that_are_gone_are_said_on_a_page(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    with TestClient(viewer_app(store, TOKEN), PLACE) as client:
        assert client.get(f"/{TOKEN}/run?run=second").status_code == 200
        for part in tmp_path.rglob("*.answers.parquet"):
            part.unlink()
        answer = client.get(f"/{TOKEN}/run?run=first")
    assert answer.status_code == 503
    assert "is missing: run its recipe again, which rebuilds it" in answer.text


def test_no_text_of_a_store_is_markup(tmp_path: Path) -> None:
    """Every text is hostile, and every page shows it as it is, with what would turn it written out."""
    store = write_store(tmp_path, lambda text: f"{text}{HOSTILE}")
    with TestClient(viewer_app(store, TOKEN), PLACE) as client:
        shown = [client.get(f"/{TOKEN}/").text, client.get(f"/{TOKEN}/run?run=first").text]
        problem = {"run": "first", "problem": f"outvoted{HOSTILE}"}
        shown.append(client.get(f"/{TOKEN}/problem", params=problem).text)
        shown.append(client.get(f"/{TOKEN}/run", params={"run": "first", "q": HOSTILE}).text)
    for page in shown:
        assert str(escape(HOSTILE[:20])) in page
        assert "{{ 7 * 7 }}" in page
        assert "\u202e" not in re.sub('value="[^"]*"', "", page)
        tags = Tags(page)
        scripts = ["static/katex/katex.min.js", "static/typeset.js", "static/keys.js", "static/live.js"]
        assert [attributes["src"] for tag, attributes in tags.seen if tag == "script"] == scripts
        assert {name for _, attributes in tags.seen for name in attributes} <= ATTRIBUTES
        assert {tag for tag, _ in tags.seen} <= ELEMENTS


def test_a_form_sends_back_what_is_stored(tmp_path: Path) -> None:
    store = write_store(tmp_path, lambda text: f"{text}{HOSTILE}")
    with TestClient(viewer_app(store, TOKEN), PLACE) as client:
        page = client.get(f"/{TOKEN}/problem", params={"run": "first", "problem": f"outvoted{HOSTILE}"}).text
        fields = [one for tag, one in Tags(page).seen if tag == "input" and one["name"] in ("run", "problem")]
        again = {str(one["name"]): str(one["value"]) for one in fields}
        assert client.get(f"/{TOKEN}/problem", params={**again, "verdict": "right"}).status_code == 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--token", "short"], "--token: 16 letters, digits, - or _ at least; or leave it out for a random one"),
        (["--token", "with/slashes/in/it/all"], "--token: 16 letters, digits, - or _ at least; or leave it out"),
    ],
)
def test_a_token_that_is_none_is_one_message(tmp_path: Path, words: list[str], message: str) -> None:
    done = overthink("view", write_store(tmp_path).address, *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_store_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    done = overthink("view", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no store at" in done.stderr


def test_a_port_in_use_is_one_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = overthink("view", write_store(tmp_path).address, "--port", port)
    assert done.returncode == 2
    told = "another program has it, or it is root's; name another with --port, or 0 for any"
    assert done.stderr == f"port {port} cannot be used: {told}\n"
