"""`overthink show`: why a problem was wrong, in a terminal of 80 columns, whatever its texts hold."""

from pathlib import Path

import pytest
from commanding import overthink
from viewed_store import SEARCHED, write_store

from overthink.flows.commands import terminal
from overthink.storage.store import Store

HOSTILE = "\x1b[31m\x07\r\u202e[red]:smile: "


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("viewed"))


def shown(store: Store, *words: object) -> str:
    done = overthink("show", *words, "--store", store.address)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_says_why_a_problem_was_wrong(store: Store) -> None:
    told = shown(store, "first", "outvoted")
    assert "What is $\\frac{14}{2}$, at \\$5 or $6?" in told
    assert "majority chose 5 among the first 4 rollouts, which is wrong: the reference is 7." in told
    assert "It has 3 votes, the right answer 1." in told
    lines = [line.split() for line in told.splitlines()]
    assert ["✗", "5", "3", "0.900", "majority,", "prm_last_max"] in lines
    assert ["✓", "7", "1", "0.800"] in lines
    assert ["0", "✗", "5", "0.900", "0.700", "20"] in lines


def test_it_shows_the_chosen_rollout_and_the_best_right_one(store: Store) -> None:
    told = shown(store, "first", "outvoted")
    assert "rollout 0: wrong, 20 tokens, stop" in told
    assert "rollout 3: right, 23 tokens, stop" in told
    assert "rollout 1" not in told
    assert "0.800 So it is \\boxed{7}." in told
    assert "tests public: ✓ ✗ ? exit 1 != 2" in told
    assert "grade: ✓ math compared" in told
    assert "5 tokens of reasoning: --reasoning shows it" in told


def test_other_rollouts_and_the_reasoning_are_shown_on_request(store: Store) -> None:
    told = shown(store, "first", "outvoted", "--sample", 1, "--sample", 2, "--reasoning")
    assert "rollout 1: wrong" in told
    assert "rollout 2: wrong" in told
    assert "rollout 0" not in told
    assert "Let me think." in told


def test_without_scores_they_are_dashes(store: Store) -> None:
    assert ["0", "✓", "7", "–", "–", "20"] in [line.split() for line in shown(store, "second", "outvoted").splitlines()]


def test_a_search_without_choices_is_shown_too(store: Store) -> None:
    assert "Nothing was chosen yet." in shown(store, "first", "outvoted", "--method", SEARCHED)


def test_nothing_of_a_text_reaches_the_terminal_but_its_letters(tmp_path: Path) -> None:
    store = write_store(tmp_path, lambda text: f"{text}{HOSTILE}")
    told = shown(store, "first", f"outvoted{HOSTILE}", "--reasoning")
    assert all(letter.isprintable() or letter == "\n" for letter in told)
    assert "\\x1b[31m\\x07\\r\\u202e[red]:smile:" in told.replace("\n", "")


def test_it_fits_into_80_columns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "NO_TERMINAL_WIDTH", 80)
    told = shown(store, "first", "outvoted")
    assert max(map(len, told.splitlines())) == 80
    assert "majority, prm_last_max" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "x"], "named 'none'"),
        (["first", "x"], "run first has no problem 'x': name one, such as easy, hopeless, outvoted\n"),
        (["first", "hopless"], "run first has no problem 'hopless': did you mean hopeless?\n"),
        (["first", "easy", "--method", "x"], "run first has no method x: it has best_of_n-n4, beam_search-n4-m2\n"),
        (["first", "easy", "--sample", "9"], "--sample: best_of_n-n4 has no rollout 9 of it: it drew 4\n"),
    ],
)
def test_a_mistake_is_one_message(store: Store, words: list[str], message: str) -> None:
    done = overthink("show", *words, "--store", store.address)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
