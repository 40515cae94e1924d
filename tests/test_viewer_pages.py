"""The viewer's pages: what they say is what is stored, whatever is chosen in their addresses."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest
from viewed_store import SAMPLED, SEARCHED, a_report, write_store

from overthink.storage.store import Store
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer import problem_list, problem_rollouts
from overthink.tasks.reporting.viewer.addresses import address
from overthink.tasks.reporting.viewer.problem_list import BY_ID
from overthink.tasks.reporting.viewer.viewer_pages import Pages


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="module")
def pages(store: Store) -> Iterator[Pages]:
    opened = Pages(store, address)
    yield opened
    opened.close()


def words(html: str) -> str:
    """What a reader reads, in a line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html.split("<main>")[1].split("</main>", 1)[0])).split())


def listed(html: str) -> list[str]:
    """The problems of a list, in its order."""
    return re.findall(r"problem=(\w+)", html.split('<ol class="problems">')[1]) if "<ol" in html else []


def test_runs_are_listed_with_their_best_choice(pages: Pages) -> None:
    read = words(pages.render("", {}))
    assert "2 runs" in read
    assert "first complete policy sevens 50.0 % best_of_n-n4 majority, n = 4" in read.replace("first first", "first")


def test_a_store_without_runs_says_what_makes_one(tmp_path: Path) -> None:
    assert "overthink run smoke" in words(Pages(Store(tmp_path), address).render("", {}))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["easy", "hopeless", "outvoted"]),
        ({"show": "missed"}, ["outvoted"]),
        ({"show": "missed", "selector": "prm_last_max"}, ["outvoted"]),
        ({"show": "vote_missed", "selector": "prm_last_max"}, ["outvoted"]),
        ({"show": "none_right"}, ["hopeless"]),
        ({"show": "right"}, ["easy"]),
        ({"show": "vote_differs"}, []),
        ({"show": "unknown"}, []),
        ({"sort": "hardest"}, ["hopeless", "outvoted", "easy"]),
        ({"sort": "easiest"}, ["easy", "outvoted", "hopeless"]),
        ({"q": "HEPTAGON"}, ["hopeless"]),
        ({"q": "boxed{1}", "within": "solutions"}, ["hopeless"]),
        ({"q": "boxed{1}"}, []),
        ({"level": "2"}, ["easy", "hopeless", "outvoted"]),
        ({"level": "3"}, []),
        ({"page": "2"}, []),
    ],
)
def test_problems_are_filtered_and_sorted(pages: Pages, chosen: dict[str, str], expected: list[str]) -> None:
    assert listed(pages.render("run", {"run": "first", **chosen})) == expected


def test_problems_come_in_pages(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem_list, "PAGE", 2)
    first, second = (pages.render("run", {"run": "first", "page": page}) for page in "12")
    assert (listed(first), listed(second)) == (["easy", "hopeless"], ["outvoted"])
    assert "page 1 of 2 next" in words(first)
    assert "previous page 2 of 2" in words(second)


def test_filters_tell_how_many_they_show(pages: Pages) -> None:
    read = words(pages.render("run", {"run": "first"}))
    assert "all 3 wrong, though a right one was there 1 vote wrong, oracle right 1 none right 1 right 1" in read


def test_a_page_says_why_a_problem_was_wrong(pages: Pages) -> None:
    read = words(pages.render("problem", {"run": "first", "problem": "outvoted"}))
    assert (
        "majority chose 5 among the first 4 rollouts, which is wrong: the reference is 7. 1 of 4 rollouts is right. "
        "It has 3 votes, the right answer 1. Its best last PRM score is 0.900, that of the right answer 0.800." in read
    )


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (
            "hopeless",
            "majority chose 2 among the first 4 rollouts, which is wrong: the reference is 7. No rollout is right.",
        ),
        ("easy", "majority chose 7 among the first 4 rollouts, which is right. 3 of 4 rollouts are right."),
    ],
)
def test_it_says_what_else_happened(pages: Pages, problem: str, told: str) -> None:
    assert told in words(pages.render("problem", {"run": "first", "problem": problem}))


def test_rollouts_are_shown_with_all_that_is_known(pages: Pages) -> None:
    read = words(pages.render("problem", {"run": "first", "problem": "outvoted"}))
    for told in (
        "Reasoning, 5 tokens Let me think.",
        "0.70 First, $3 + 7$. 0.80 So it is \\boxed{7}.",
        "Tests public ✓ ✗ ? exit",
        "grade ✓ math: compared",
        "logprob_mean -0.500",
        "first/outvoted/3",
    ):
        assert told in read


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["0", "1", "2", "3"]),
        ({"verdict": "right"}, ["3"]),
        ({"verdict": "wrong"}, ["0", "1", "2"]),
        ({"verdict": "unknown"}, []),
        ({"order": "lowest"}, ["2", "1", "3", "0"]),
        ({"order": "longest"}, ["3", "2", "1", "0"]),
        ({"answer": "5", "order": "highest"}, ["0", "1", "2"]),
    ],
)
def test_rollouts_are_filtered_and_ordered(pages: Pages, chosen: dict[str, str], expected: list[str]) -> None:
    page = pages.render("problem", {"run": "first", "problem": "outvoted", **chosen})
    assert re.findall(r'id="r(\d+)"', page) == expected


def test_rollouts_come_in_pages(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem_rollouts, "PAGE", 3)
    page = pages.render("problem", {"run": "first", "problem": "outvoted", "rollouts": "2"})
    assert re.findall(r'id="r(\d+)"', page) == ["3"]


def test_a_problem_s_neighbours_are_those_of_the_list_it_was_found_in(pages: Pages) -> None:
    def beside(**chosen: str) -> list[str]:
        page = pages.render("problem", {"run": "first", "problem": "hopeless", **chosen})
        return re.findall(r"problem=(\w+)", page.split('<nav class="beside"')[1].split("</nav>")[0])

    assert beside() == ["easy", "outvoted"]
    assert beside(sort="hardest") == ["outvoted"]
    assert beside(show="missed") == []


def test_without_scores_and_choices_a_page_says_so(pages: Pages) -> None:
    searched = words(pages.render("problem", {"run": "first", "problem": "outvoted", "method": SEARCHED}))
    assert "Nothing was chosen yet." in searched
    assert "Rollouts 0 by beam_search-n4-m2" in searched
    unscored = pages.render("problem", {"run": "second", "problem": "outvoted"})
    assert "unscored" in unscored


def test_a_selector_that_the_method_lacks_is_not_kept(pages: Pages) -> None:
    assert f"{SAMPLED}, majority, n = 4" in words(pages.render("run", {"run": "first", "selector": "x", "n": "64"}))


@pytest.mark.parametrize(
    ("page", "parameters", "message"),
    [
        ("run", {"run": "none"}, "the store has no run 'none'"),
        ("run", {"run": "first", "method": "x"}, "run first has no method x: it has best_of_n-n4, beam_search-n4-m2"),
        ("run", {"run": "first", "sort": "x", "page": "0"}, "no page has this address: see its page, sort"),
        ("run", {}, "no page has this address: see its run"),
        (
            "problem",
            {"run": "first", "problem": "x"},
            "run first has no problem 'x': name one, such as easy, hopeless, outvoted",
        ),
    ],
)
def test_an_address_of_nothing_is_one_message(
    pages: Pages, page: str, parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError) as error:
        pages.render(page, parameters)
    assert str(error.value) == message


def test_a_run_that_goes_on_is_read_anew(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    run = store.find_run("first")
    others = run.stages[:-1]
    store.write_run(replace(run, status="running", stages=others))
    pages = Pages(store, address)
    assert SEARCHED not in pages.render("run", {"run": "first"})
    store.write_run(replace(run, status="running"))
    assert SEARCHED in pages.render("run", {"run": "first"})
    store.write_run(run)
    assert "Rollouts" in pages.render("problem", {"run": "first", "problem": "easy"})


def test_a_tree_is_shown_with_what_was_pruned(pages: Pages) -> None:
    page = pages.render("tree", {"run": "first", "problem": "outvoted", "method": SEARCHED})
    assert "4 steps drawn, 2 pruned." in words(page)
    assert "0.90 step a 1 pruned: 0.20 0.20 step b 0.80 step c finished 1 pruned: 0.10 0.10 step d" in words(page)
    problem = pages.render("problem", {"run": "first", "problem": "outvoted", "method": SEARCHED})
    assert f'href="tree?run=first&amp;method={SEARCHED}&amp;problem=outvoted"' in problem


def test_a_method_without_a_tree_says_so(pages: Pages) -> None:
    page = pages.render("tree", {"run": "first", "problem": "outvoted"})
    assert "No step of a tree is stored of this problem." in words(page)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["easy", "outvoted"]),
        ({"outcome": "first"}, ["easy"]),
        ({"outcome": "second"}, ["outvoted"]),
        ({"outcome": "both"}, []),
        ({"outcome": "neither"}, ["hopeless"]),
        ({"outcome": "all"}, ["easy", "hopeless", "outvoted"]),
        ({"outcome": "all", "q": "heptagon"}, ["hopeless"]),
    ],
)
def test_two_runs_are_compared_problem_by_problem(pages: Pages, chosen: dict[str, str], expected: list[str]) -> None:
    assert listed(pages.render("compare", {"run": "first", "other": "second", **chosen})) == expected


def test_a_problem_is_shown_as_two_runs_solved_it(pages: Pages) -> None:
    read = words(pages.render("both", {"run": "first", "other": "second", "problem": "outvoted"}))
    one, two = read.split("second best_of_n-n4")
    assert "majority chose 5 among the first 4 rollouts, which is wrong" in one
    assert "majority chose 7 among the first 4 rollouts, which is right. 4 of 4 rollouts are right." in two
    assert 'value="second"' in pages.render("run", {"run": "first"})


def test_the_choice_of_each_of_two_runs_is_the_reader_s(pages: Pages) -> None:
    two = {"run": "first", "other": "second"}
    page = pages.render("compare", {**two, "selector": "oracle", "other_selector": "prm_last_max", "outcome": "all"})
    assert "first: policy, best_of_n-n4, oracle, n = 4" in page
    assert "second: policy, best_of_n-n4, prm_last_max, n = 4" in page
    for name in ("method", "selector", "n", "other_method", "other_selector", "other_n"):
        assert f'<select name="{name}">' in page
    linked = [parse_qs(urlsplit(unescape(link)).query) for link in re.findall(r'href="([^"]*both[^"]*)"', page)]
    assert linked and all((one["selector"], one["other_selector"]) == (["oracle"], ["prm_last_max"]) for one in linked)
    both = words(
        pages.render("both", {**two, "problem": "outvoted", "selector": "oracle", "other_selector": "prm_last_max"})
    )
    assert "first best_of_n-n4, oracle, n = 4" in both and "second best_of_n-n4, prm_last_max, n = 4" in both
    searched = pages.render("compare", {**two, "method": SEARCHED})
    assert f"first: policy, {SEARCHED}</p>" in searched


def test_numbers_in_the_names_of_problems_are_ordered_as_numbers() -> None:
    ids = ["p10", "p9", "p1", "q/2/10", "q/2/9", "p" + "1" * 30, "a", "10", "9", ""]
    values = ", ".join(f"('{one}')" for one in ids)
    found = duckdb.sql(f"SELECT problem_id FROM (VALUES {values}) t(problem_id) ORDER BY {BY_ID}").fetchall()
    assert [one for (one,) in found] == ["", "9", "10", "a", "p1", "p9", "p10", "p" + "1" * 30, "q/2/9", "q/2/10"]


def test_a_run_that_is_being_made_says_how_far_it_is(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    store.write_run(replace(store.find_run("first"), status="running"))
    pages = Pages(store, address)
    read = [words(pages.render("", {})), words(pages.render("run", {"run": "first"}))]
    assert not any("stage 1 of 4" in page for page in read), "nobody said anything yet"
    store.reports("first").write(a_report(written_at=time.time()))
    with store.lock_run("first"):
        html = [pages.render("", {}), pages.render("run", {"run": "first"})]
    assert all("stage 1 of 4: sample best_of_n-n4 6 of 8 problems 0:00:0" in words(page) for page in html)
    assert all(page.count(" data-live>") == 1 for page in html), "they load themselves again"
    dead = pages.render("run", {"run": "first"})
    assert "stopped: no word for" in words(dead) and " data-live>" not in dead
    assert "sample best_of_n-n4" not in words(pages.render("run", {"run": "second"}))
    pages.close()
