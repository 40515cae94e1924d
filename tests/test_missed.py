"""What a run's best choice missed: the rows are the viewer's own, and each link opens there."""

import html
import re
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from report_runs import facts_of
from test_report import cells_of

from overthink.storage.store import Store
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.html.missed import missed_part
from overthink.tasks.reporting.viewer.addresses import address
from overthink.tasks.reporting.viewer.choice_of_run import choice_of
from overthink.tasks.reporting.viewer.open_readings import OpenReading
from overthink.tasks.reporting.viewer.problem_list import problem_list
from overthink.tasks.reporting.viewer.states import ListState
from overthink.tasks.reporting.viewer.viewer_pages import Pages

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def both(report_pages: Path) -> list[RunFacts]:
    return facts_of(Store(report_pages / "store"), "small", "large")


def test_the_table_has_the_problems_that_the_viewer_calls_missed(both: list[RunFacts]) -> None:
    facts = both[1]
    assert facts.best is not None
    best = facts.best
    part = missed_part(facts, TOKEN)
    state = ListState(run=facts.run_id, method=best["method_id"], selector=best["selector"], n=best["n"], show="missed")
    with closing(OpenReading(facts.store, [facts.run])) as reading:
        found = problem_list(reading, facts.run, choice_of(reading, facts.run, state), state)
    wanted = {(row["problem_id"], row["chosen"], f"{row['right']} of {row['rollouts']}") for row in found.rows}
    rows = [[re.sub("<[^>]*>", "", cell) for cell in row] for row in cells_of(part)]
    assert wanted and {(row[0], row[3], row[4]) for row in rows} == wanted


def test_every_link_opens_in_the_viewer_that_the_page_tells_to_start(both: list[RunFacts]) -> None:
    facts = both[1]
    part = missed_part(facts, TOKEN)
    links = [html.unescape(address) for address in re.findall(r'<a href="([^"]*)"', part)]
    assert len(links) > 1
    assert f"overthink view {facts.store.address} --token {TOKEN}" in part
    with closing(Pages(facts.store, address)) as pages:
        for link in links:
            parts = urlsplit(link)
            assert (parts.scheme, parts.netloc) == ("http", "127.0.0.1:8765")
            _, token, page = parts.path.split("/")
            assert token == TOKEN
            assert facts.run_id in pages.render(page, dict(parse_qsl(parts.query)))


def test_a_choice_that_missed_nothing_is_said_to(both: list[RunFacts]) -> None:
    assert "Wherever a rollout was right, prm_last_max of beam_search-n8-m4, n = 8 chose a right answer" in missed_part(
        both[0], TOKEN
    )
