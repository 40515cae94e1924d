"""How a verifier's critiques become scores, by literal replies."""

import math
from dataclasses import replace
from typing import Any

import pytest

from overthink.tasks.engines.prm.critic_families import CRITIC_FAMILIES, CriticFamilyName
from overthink.tasks.engines.prm.judging import ONE_TOKEN, Judging
from overthink.tasks.methods.requests import Ask, Score
from overthink.tasks.records import Given, Sample, SampleStop, Sampling, Scores, Unscored, path_text

DRAW = Sampling(temperature=1.0, top_p=1.0, max_tokens=100)
STEPS = ("2 + 2 = 4", "4 + 1 = 6")
QUESTION = "What is 2 + 2 + 1?"


def said(text: str, stop: SampleStop = "stop", **changes: Any) -> Sample:
    """A sample of one token a character, each of probability 1/e, and the end of the sequence."""
    ends = (*range(1, len(text) + 1), len(text))
    known = ((*map(ord, text), 0), ends, (-1.0,) * len(ends))
    return replace(Sample(text, *known, stop, 10), **changes)


def forced(letter: str, probability: float) -> Sample:
    return Sample(letter, (ord(letter),), (1,), (math.log(probability),), "length", 10)


def judging(family: CriticFamilyName, critiques: int = 1, rounds: int = 1) -> Judging:
    return Judging(CRITIC_FAMILIES[family], DRAW, critiques, rounds)


class Answered:
    """A search that is answered by a function of its requests, which are kept."""

    def __init__(self, judging: Judging, answer: Any, from_step: int = 0, steps: tuple[str, ...] = STEPS) -> None:
        self.asked: list[Ask] = []
        self._answer = answer
        self.result: Scores | Unscored = self._run(judging.scores(QUESTION, Score(steps, from_step, 7)))

    def _run(self, search: Any) -> Any:
        replies = None
        while True:
            try:
                batch = next(search) if replies is None else search.send(replies)
            except StopIteration as finished:
                return finished.value
            replies = [self._reply(one) if isinstance(one, Ask) else self._run(one) for one in batch]

    def _reply(self, asked: Ask) -> Sample:
        self.asked.append(asked)
        return self._answer(asked)


def test_the_score_is_the_share_of_the_verdicts_probability() -> None:
    def answer(asked: Ask) -> Sample:
        return forced("N", 0.1) if asked.forced else said("Right.\nVerdict: Yes")

    found = Answered(judging("critic"), answer, from_step=1)
    (value,) = found.result.values  # type: ignore[union-attr]
    assert value == pytest.approx(math.exp(-1) / (math.exp(-1) + 0.1))
    first, second = found.asked
    assert (first.path, first.forced, first.sampling, first.sample_index, first.draw) == ((), None, DRAW, 7, 0)
    assert (second.forced, second.sampling) == ("No", ONE_TOKEN)
    assert path_text(second.path, "") == "Right.\nVerdict: "


def test_a_verdict_of_wrong_scores_what_is_left() -> None:
    def answer(asked: Ask) -> Sample:
        return forced("Y", 0.1) if asked.forced else said("Verdict: No")

    (critique,) = Answered(judging("critic"), answer, from_step=1).result.critiques
    assert critique.verdict is False
    assert critique.score == pytest.approx(0.1 / (math.exp(-1) + 0.1))
    assert (critique.step_index, critique.number, critique.completion_tokens) == (1, 0, len("Verdict: No") + 1)


def test_a_token_that_holds_more_than_the_word_is_compared_with_its_like() -> None:
    text = "Verdict: Yes"
    sample = Sample(text, (1, 2, 0), (8, 12, 12), (-1.0, -1.0, -1.0), "stop", 10)
    found = Answered(judging("critic"), lambda asked: forced("N", 0.5) if asked.forced else sample, from_step=1)
    assert [asked.forced for asked in found.asked] == [None, " No"]
    assert found.asked[1].path == (sample.first(1),)


@pytest.mark.parametrize("family", ["critic", "r-prm", "thinkprm"])
def test_an_endpoint_without_probabilities_gives_the_verdict_alone(family: CriticFamilyName) -> None:
    text = CRITIC_FAMILIES[family].verdict.example.format("no")
    unseen = Sample(text, (), (), (), "stop", 10, shown=False, counted=9)
    found = Answered(judging(family), lambda _: unseen, from_step=1)
    assert found.result.critiques[0].score == 0.0
    assert found.result.critiques[0].completion_tokens == 9
    assert len(found.asked) == 1


def test_a_critique_without_a_verdict_is_in_no_mean() -> None:
    texts = ["Verdict: Yes", "I cannot say.", "", "Verdict: No"]

    def answer(asked: Ask) -> Sample:
        return Sample("", (), (), (), "length", 10) if asked.forced else said(texts[asked.draw])

    found = Answered(judging("critic", critiques=4), answer, from_step=1).result
    assert found.values == (0.5,)  # type: ignore[union-attr]
    assert [(one.number, one.verdict, one.score) for one in found.critiques] == [
        (0, True, 1.0),
        (1, None, None),
        (2, None, None),
        (3, False, 0.0),
    ]


def test_a_step_about_which_no_critique_says_anything_is_unknown() -> None:
    def answer(asked: Ask) -> Sample:
        if asked.forced:
            return forced("N", 0.01)
        return said("Verdict: Yes") if "which you check:\n2 + 2" in asked.turns[0] else said("Hm.")

    found = Answered(judging("critic", critiques=2), answer).result
    assert isinstance(found, Unscored)
    assert found.reason == "no critique of step 2 came to a verdict"
    assert [critique.verdict for critique in found.critiques] == [True, True, None, None]


def test_a_cut_critique_keeps_its_reason() -> None:
    found = Answered(judging("critic"), lambda _: said("Verdict: Yes\nBut", "length"), from_step=1).result
    assert isinstance(found, Unscored)
    assert (found.critiques[0].verdict, found.critiques[0].stop_reason) == (None, "length")


def test_thinkprm_judges_all_steps_in_one_critique() -> None:
    text = " Step 1: \\boxed{correct}\nStep 2: \\boxed{incorrect}\n</think>\nIs the solution correct? No"

    def answer(asked: Ask) -> Sample:
        return forced("Y", math.exp(-1) / 3) if asked.forced else said(text)

    found = Answered(judging("thinkprm", critiques=2), answer)
    assert found.result.values == (1.0, pytest.approx(0.25))  # type: ignore[union-attr]
    assert [critique.step_index for critique in found.result.critiques] == [1, 1]
    assert found.asked[0].path == (Given("\nLet's verify step by step:"),)
    assert found.result.critiques[0].text == "\nLet's verify step by step:" + text


def test_steps_of_a_solution_that_is_called_right_are_right() -> None:
    text = "Fine.</think>\nIs the solution correct? Yes"
    found = Answered(judging("thinkprm"), lambda asked: forced("N", 1e-9) if asked.forced else said(text))
    assert found.result.values == (1.0, pytest.approx(1.0))  # type: ignore[union-attr]


def test_in_rounds_a_verifier_goes_on_before_its_verdict() -> None:
    texts = iter(["Right.\nVerdict: Yes", "No: 5.\nVerdict: No"])

    def answer(asked: Ask) -> Sample:
        return forced("Y", 0.2) if asked.forced else said(next(texts))

    found = Answered(judging("critic", rounds=2), answer, from_step=1)
    (critique,) = found.result.critiques
    assert critique.verdict is False
    assert critique.text == "Right.\n\nWait, let me double check.\nNo: 5.\nVerdict: No"
    assert critique.text.startswith(path_text(found.asked[1].path, ""))
    assert all(0 not in part.tokens for part in found.asked[1].path if isinstance(part, Sample))


def test_a_round_that_a_limit_cut_off_is_the_last() -> None:
    found = Answered(judging("critic", rounds=3), lambda _: said("It goes on", "length"), from_step=1)
    assert len(found.asked) == 1


def test_genprm_is_asked_for_its_judgement_behind_its_analysis() -> None:
    def answer(asked: Ask) -> Sample:
        if asked.forced:
            return forced("Y", math.exp(-1))
        if asked.sampling.stop:
            return said("It is 5.", "delimiter", ended_by="</analyze>\n")
        return said("{No}$\n</output>")

    found = Answered(judging("genprm"), answer, from_step=1)
    assert found.result.values == (pytest.approx(0.5),)  # type: ignore[union-attr]
    first, second, third = found.asked
    assert first.path == (Given("<analyze>\nLet's analyze the Paragraph 2 step by step: "),)
    assert first.sampling.stop == ("</analyze>\n",)
    assert second.path[-1] == Given("<output>\n**Judgement**: $\\boxed")
    assert third.forced == "Yes"
    text = found.result.critiques[0].text
    assert text.endswith("It is 5.</analyze>\n<output>\n**Judgement**: $\\boxed{No}$\n</output>")


def test_genprm_that_never_ends_its_analysis_says_nothing() -> None:
    found = Answered(judging("genprm"), lambda _: said("and so on", "length"), from_step=1)
    assert isinstance(found.result, Unscored)
    assert len(found.asked) == 1


@pytest.mark.parametrize("reply", ["{unclear}$\n</output>", ""])
def test_genprm_takes_no_verdict_from_its_analysis(reply: str) -> None:
    def answer(asked: Ask) -> Sample:
        if asked.sampling.stop:
            return said("Is 4 even? $\\boxed{Yes}$", "delimiter", ended_by="</analyze>\n")
        return said(reply)

    found = Answered(judging("genprm"), answer, from_step=1)
    assert isinstance(found.result, Unscored)
    assert [asked.forced for asked in found.asked] == [None, None]


def test_genprm_that_ends_within_its_analysis_says_nothing() -> None:
    found = Answered(judging("genprm"), lambda _: said("Is 4 even? $\\boxed{Yes}$"), from_step=1)
    assert isinstance(found.result, Unscored)
    assert found.result.critiques[0].verdict is None


def test_a_last_round_without_a_verdict_has_none_of_an_earlier_round() -> None:
    texts = iter(["Verdict: Yes\nWait, wrong.\nVerdict: No", "Hm, I cannot say."])
    found = Answered(judging("critic", rounds=2), lambda _: said(next(texts)), from_step=1)
    assert isinstance(found.result, Unscored)
    (critique,) = found.result.critiques
    assert (critique.verdict, critique.score) == (None, None)
    assert critique.text.startswith("Verdict: Yes\nWait, wrong.\n")


def test_where_neither_word_is_probable_the_score_is_unknown_and_the_verdict_stays() -> None:
    def answer(asked: Ask) -> Sample:
        sample = replace(forced("N", 1.0), logprobs=(-math.inf,)) if asked.forced else said("Verdict: Yes")
        return replace(sample, logprobs=(-math.inf,) * len(sample.tokens))

    found = Answered(judging("critic"), answer, from_step=1).result
    assert isinstance(found, Unscored)
    assert (found.critiques[0].verdict, found.critiques[0].score) == (True, None)
