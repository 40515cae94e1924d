"""Reasoning in imports: cut off texts and steps, with the scores that stay, and no change where there is none."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from test_importers import learned, output, read_learned, read_rows, read_tts, record, row, write_lines

from overthink.storage.keys import content_key
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import ProblemError, UserError
from overthink.tasks.importers.imported import NOT_IMPORTED, ImportedRollout, ImportedSet, ImportedStep
from overthink.tasks.importers.imported_reasoning import families_of, with_reasoning
from overthink.tasks.importers.mapped_jsonl import parse_mapping, read_mapped_jsonl
from overthink.tasks.plan.import_plan import plan_imports
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe

COLUMNS = parse_mapping(["question=q", "reference=gold", "text=out"])


def divided(imported: ImportedSet, option: str = "any") -> list[ImportedRollout]:
    found = with_reasoning(imported, families_of(option))
    return [rollout for problem in found.problems for rollout in problem.rollouts]


def texts(folder: Path, *said: str, option: str = "any") -> list[tuple[str, str | None, str | None]]:
    """The text, reasoning and stop reason of each rollout of one problem."""
    path = write_lines(folder / "some.jsonl", *({"q": "?", "gold": "8", "out": text} for text in said))
    found = divided(read_mapped_jsonl(path, COLUMNS, independent=True), option)
    return [(rollout.text, rollout.reasoning, rollout.stop_reason) for rollout in found]


def scored(*steps: tuple[str, float], **rest: Any) -> ImportedRollout:
    return ImportedRollout(**rest, steps=tuple(ImportedStep(text, score) for text, score in steps))


def test_what_lies_between_the_marks_is_reasoning(tmp_path: Path) -> None:
    assert texts(
        tmp_path, "<think> 7? no. </think> It is 8.", "It is 8.", "<think>\n\n</think>\n\n8", "<think> 7?"
    ) == [
        (" It is 8.", " 7? no. ", None),
        ("It is 8.", None, None),
        ("\n\n8", "\n\n", None),
        ("", " 7?", "reasoning"),
    ]


def test_where_the_prompt_opened_it_a_text_without_marks_was_cut_off(tmp_path: Path) -> None:
    """The template of DeepSeek-R1 opens the reasoning, so that no text does."""
    assert texts(tmp_path, "7? no.\n</think>\n\n8", "is it \\boxed{7}? I") == [
        ("\n\n8", "7? no.\n", None),
        ("", "is it \\boxed{7}? I", "reasoning"),
    ]


@pytest.mark.parametrize("beside", ["<think> no </think> 8", "the mark </think> ends it, so 8", "`</think>`\n8"])
def test_a_text_without_marks_is_whole_beside_texts_that_open_reasoning_or_name_a_mark(
    beside: str, tmp_path: Path
) -> None:
    assert texts(tmp_path, beside, "It is 8.")[1] == ("It is 8.", None, None)


def test_the_option_says_which_marks(tmp_path: Path) -> None:
    said = "<think> 7? </think> 8"
    assert texts(tmp_path, said, option="none") == texts(tmp_path, said, option="magistral") == [(said, None, None)]
    assert texts(tmp_path, said, option="think") == [(" 8", " 7? ", None)]
    assert texts(tmp_path, "analysis7?assistantfinal8", option="analysis assistantfinal") == [("8", "7?", None)]


@pytest.mark.parametrize("option", ["", "thinking", "<a>", "<a> <a>", "<a> </a> <b>"])
def test_what_names_no_marks_is_refused(option: str) -> None:
    with pytest.raises(UserError, match=r"--reasoning .*name one of any, none, think, .* or the two marks that open"):
        import_recipe("inspect", Path("x"), ReadAs([]), None, GradedAs(reasoning=option), False)


def test_steps_keep_their_scores_and_the_one_that_reasoning_ends_in_too(tmp_path: Path) -> None:
    said = "<think> a\n\nb </think> So.\n\nIt is\n\n\\boxed{4}"
    line = learned(completions=[said, "\\boxed{4}"], scores=[[0.1, 0.2, 0.3, 0.4], [0.5]])
    whole, plain = divided(read_learned(tmp_path, line)[0])
    assert whole == scored(
        ("So.", 0.2),
        ("It is", 0.3),
        ("\\boxed{4}", 0.4),
        text=" So.\n\nIt is\n\n\\boxed{4}",
        reasoning=" a\n\nb ",
    )
    assert [step.score for step in plain.steps] == [0.5]


def test_a_step_of_nothing_but_reasoning_is_none(tmp_path: Path) -> None:
    said = "<think> a\n\nb </think>\n\n\n\n\\boxed{4}\n\n"
    line = learned(completions=[said, "4"], scores=[[0.1, 0.2, 0.3, 0.4, 0.5], [0.5]])
    (whole, _) = divided(read_learned(tmp_path, line)[0])
    assert [(step.text, step.score) for step in whole.steps] == [("", 0.3), ("\\boxed{4}", 0.4), ("", 0.5)]


def test_tokens_of_the_step_that_reasoning_ends_in_are_unknown(tmp_path: Path) -> None:
    tag = "ки\n"
    said = output(
        text=f"<think> a {tag}b </think> So {tag}\\boxed{{4}} {tag}", value=[0.1, 0.2, 0.3], token_history=[3, 4, 5]
    )
    (found,) = divided(read_tts(tmp_path, record(output=[said]))[0])
    assert [(step.text, step.score, step.completion_tokens) for step in found.steps] == [
        ("So", 0.2, None),
        ("\\boxed{4}", 0.3, 5),
    ]
    assert found.completion_tokens == 12


def test_one_score_of_a_whole_text_is_that_of_its_answer(tmp_path: Path) -> None:
    (found,) = divided(read_rows(tmp_path, row(out="<think> a\n\nb </think>\n\nso\n\n4", rewards=0.5))[0])
    assert [(step.text, step.score) for step in found.steps] == [("so\n\n4", 0.5)]


def test_reasoning_cut_off_has_no_steps(tmp_path: Path) -> None:
    (found,) = divided(read_rows(tmp_path, row(out="<think> so\n\n4"))[0])
    assert (found.steps, found.text, found.completion_tokens) == ((), "", 9)


def test_steps_that_are_not_in_the_text_are_refused(tmp_path: Path) -> None:
    columns = parse_mapping(["question=q", "reference=gold", "text=out", "steps=s"])
    path = write_lines(tmp_path / "a.jsonl", {"q": "?", "gold": "4", "out": "<think> a </think> 4", "s": ["b", "4"]})
    found = read_mapped_jsonl(path, columns, independent=False)
    with pytest.raises(
        ProblemError, match="problem 0, rollout 0: its steps are not those of its text.*--reasoning none"
    ):
        divided(found)
    assert divided(found, "none") == list(found.problems[0].rollouts)


def test_what_has_no_reasoning_keeps_its_key(tmp_path: Path) -> None:
    """The content address is that of the fields that were there before reasoning was kept apart."""
    (found,) = read_rows(tmp_path, row())
    before = asdict(found)
    del before["label"], before["problems"][0]["given"], before["problems"][0]["place"]
    for name in NOT_IMPORTED:
        del before["problems"][0]["problem"][name]
    for rollout in before["problems"][0]["rollouts"]:
        for name in ("reasoning", "reasoning_tokens", "stop_reason", "opened"):
            del rollout[name]
    assert found.content == content_key(before)
    assert with_reasoning(found, families_of("any")).content == found.content
    (problem,) = found.problems
    thinking = replace(problem, rollouts=(replace(problem.rollouts[0], reasoning="a"),))
    assert replace(found, problems=(thinking,)).content != found.content


def test_the_option_is_in_the_key_only_by_what_it_cuts_off(tmp_path: Path) -> None:
    def run_of(path: Path, option: str) -> str:
        mapping = ReadAs(["question=q", "reference=gold", "text=out"])
        (plan,) = plan_imports(import_recipe("jsonl", path, mapping, None, GradedAs(reasoning=option), False))
        return plan.run_id

    plain, thinks = (
        write_lines(tmp_path / f"{name}.jsonl", row(out=text)) for name, text in (("a", "4"), ("b", "<think> 4"))
    )
    assert len({run_of(plain, option) for option in ("any", "none", "think")}) == 1
    assert run_of(thinks, "any") == run_of(thinks, "think") != run_of(thinks, "none")


@pytest.mark.usefixtures("prefect_server")
def test_a_trace_cut_off_inside_its_reasoning_has_no_vote(tmp_path: Path) -> None:
    texts = (
        "<think> \\boxed{7}? \\boxed{7}!",
        "<think> Try 7: \\boxed{7}? no. </think> So \\boxed{8}, as </think> ends it.",
        "<think> \\boxed{7}",
    )
    scores = ([0.9], [0.5], [0.9])
    lines = ({"q": "?", "gold": "8", "out": text, "r": score} for text, score in zip(texts, scores, strict=True))
    path, store = write_lines(tmp_path / "a.jsonl", *lines), tmp_path / "store"
    mapping = [word for pair in ("question=q", "reference=gold", "text=out", "scores=r") for word in ("--map", pair)]
    imported = overthink("import", "jsonl", path, *mapping, "--store", store)
    assert imported.returncode == 0, imported.stderr
    sql = "SELECT DISTINCT selector, answer, correct FROM selections WHERE n = 3 AND selector <> 'oracle'"
    found = query(Store(store), sql).to_pylist()
    assert len(found) > 3
    assert {(row["answer"], row["correct"]) for row in found} == {("8", True)}
    wrong = overthink("import", "jsonl", path, *mapping, "--store", store, "--reasoning", "no marks at all")
    assert wrong.returncode == 2 and "--reasoning" in wrong.stderr
