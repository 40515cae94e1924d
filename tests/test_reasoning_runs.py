"""Runs of a policy that thinks: what is stored, voted on, scored and searched, and where a stopped run goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from plans import plan, searched
from pydantic import ValidationError
from search_runs import Row, base, one, rows

from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import secret_blocks
from overthink.storage.store import Store
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.errors import EngineDied, UserError
from overthink.tasks.records import Given, Sample, Scores
from overthink.tasks.reporting.html.contents import report_facts, report_page, report_pictures
from overthink.tasks.reporting.thinking_lines import thinking_lines
from overthink.tasks.stages import identity as identities
from overthink.tasks.stages.sample import SampleNode
from overthink.tasks.stages.shards import ENGINE_TASK

THINKS = {"engine": "fake", "steps": 4, "thinks": 3}
SHARES = {"engine": "openai", "model": "m", "endpoints": ["http://127.0.0.1:9/v1"]}


def scripted(folder: Path, says: dict[str, list[str]], **changes: Any) -> Row:
    """A recipe of one problem whose policy says what a script has, its reasoning between `<think>` marks."""
    script = folder / "script.json"
    question = "What is question 0?"
    script.write_text(json.dumps({"policy": {question: says}}), encoding="utf-8")
    value = base(folder, count=1) | {
        "policy": {"engine": "scripted", "script": str(script)},
        "reasoning": "think",
        "methods": [{"method": "best_of_n", "n": len(says[""])}],
        "budgets": [len(says[""])],
    }
    return value | changes


async def test_what_a_thinking_policy_says_is_read_behind_its_reasoning(tmp_path: Path, prefect_server: str) -> None:
    texts = [
        "<think> Try 7: \\boxed{7}? no. </think> The answer is **8**.",
        "<think> Try \\boxed{7}, no",
        "It is \\boxed{8}.",
    ]
    says = {
        "": texts,
        "<think>": [text.removeprefix("<think>") for text in texts[:2]],
        "<think> Try 7: \\boxed{7}? no. </think>": [" The answer is **8**."],
    }
    await evaluate(recipe_of(scripted(tmp_path, says)), tmp_path / "store")
    found = rows(tmp_path / "store", "SELECT * FROM rollouts ORDER BY sample_index")
    assert [row["answer"] for row in found] == ["8", None, "8"]
    assert [row["text"] for row in found] == [" The answer is **8**.", "", "It is \\boxed{8}."]
    assert [row["reasoning_text"] for row in found] == [" Try 7: \\boxed{7}? no. ", " Try \\boxed{7}, no", None]
    assert [row["stop_reason"] for row in found] == ["stop", "reasoning", "stop"]
    assert [row["step_count"] for row in found] == [1, 0, 1]
    assert [row["completion_tokens"] for row in found] == [len(text) for text in texts]
    assert [row["reasoning_tokens"] for row in found] == [len("<think> Try 7: \\boxed{7}? no. </think>"), 25, 0]
    (chosen,) = rows(tmp_path / "store", "SELECT answer FROM selections WHERE selector = 'majority'")
    assert chosen["answer"] == "8"


async def test_a_mark_that_an_answer_names_hides_no_answer(tmp_path: Path, prefect_server: str) -> None:
    says = {
        "": ["Reasoning begins with <think>, so \\boxed{8}."],
        "Reasoning begins with <think>": [", so \\boxed{8}."],
    }
    methods = [{"method": "best_of_n", "n": 1}, {"method": "adaptive", "n": 1}]
    await evaluate(recipe_of(scripted(tmp_path, says, methods=methods)), tmp_path / "store")
    found = rows(tmp_path / "store", "SELECT * FROM rollouts")
    assert [(row["answer"], row["reasoning_text"], row["reasoning_tokens"]) for row in found] == [("8", None, 0)] * 2
    assert {row["text"] for row in found} == {"Reasoning begins with <think>, so \\boxed{8}."}


async def test_a_prm_sees_no_reasoning(tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []

    class Watched(FakePrm):
        async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
            seen.append(steps)
            return await super().score(question, steps, from_step)

    async def opener(config: Any) -> Watched:
        return Watched(config)

    monkeypatch.setattr(secret_blocks, "open_prm", opener)
    methods = [{"method": "best_of_n", "n": 8}, {"method": "beam_search", "n": 8}]
    await evaluate(recipe_of(base(tmp_path), policy=THINKS, methods=methods), tmp_path / "store")
    assert len(seen) > 40
    assert not [step for steps in seen for step in steps if "thought" in step or "think>" in step]
    store = tmp_path / "store"
    assert one(store, "SELECT count(*) FROM steps WHERE text LIKE '%thought%'") == 0
    assert one(store, "SELECT count(*) FROM rollouts WHERE reasoning_text NOT LIKE 'thought%'") == 0
    assert one(store, "SELECT count(*) FROM rollouts WHERE reasoning_tokens < 8 OR reasoning_tokens IS NULL") == 0
    mismatched = """SELECT count(*) FROM rollouts WHERE step_count <>
        (SELECT count(*) FROM scores WHERE scores.rollout_id = rollouts.rollout_id)"""
    assert one(store, mismatched) == 0


async def test_the_steps_of_the_reasoning_are_searched_where_that_is_asked_for(
    tmp_path: Path, prefect_server: str
) -> None:
    methods = [{"method": method, "n": 8} for method in ("beam_search", "dvts", "rebase", "mcts", "particle_filtering")]
    recipe = recipe_of(base(tmp_path), policy=THINKS, methods=methods, reasoning={"search": True})
    store = tmp_path / "store"
    await evaluate(recipe, store)
    assert one(store, "SELECT count(*) FROM nodes WHERE text LIKE 'thought%' AND score IS NOT NULL") > 50
    assert one(store, "SELECT count(*) FROM rollouts WHERE reasoning_text LIKE 'thought%' AND text LIKE '%boxed%'") > 20
    scored = """SELECT count(*) FROM steps LEFT JOIN scores USING (rollout_id, step_index)
        WHERE score IS NULL AND text LIKE 'thought%'"""
    assert one(store, scored) == 0
    assert one(store, "SELECT count(*) FROM rollouts WHERE text LIKE '%thought%' OR text LIKE '%think>%'") == 0


async def test_a_report_sets_longer_reasoning_beside_more_solutions(tmp_path: Path, prefect_server: str) -> None:
    methods = [{"method": "budget_forcing", "n": 8, "max_tokens": most} for most in (12, 24)]
    methods.append({"method": "budget_forcing", "n": 8, "wait": 2})
    store = Store(tmp_path / "store")
    value = base(tmp_path) | {"policy": THINKS, "methods": methods, "sampling": {"max_tokens": 90}}
    run_id = await evaluate(recipe_of(value), store.root)
    (facts,) = report_facts(store, [store.find_run(run_id)])
    (picture,) = [picture for picture in report_pictures(store, [facts]) if picture.name.startswith("thought-")]
    sequential, *parallel = picture.panels[0].lines
    assert [len(line.points) for line in (sequential, *parallel)] == [3, 3, 3, 3]
    tokens = {row["method_id"]: row["t"] for row in rows(store.root, TOKENS)}
    assert [point.x for point in sequential.points] == sorted(tokens.values())
    assert tokens["budget_forcing-n8-max_tokens12"] == len("<think>") + 12
    for line in parallel:
        assert [point.x / line.points[0].x for point in line.points] == pytest.approx([1, 4, 8])
    assert "Accuracy against tokens of reasoning" in report_page(store, [facts])
    told = thinking_lines(store, run_id)
    assert told[0] == "budget_forcing-n8-max_tokens12: 19 tokens of reasoning a solution"
    assert "never ended it and have no answer: raise sampling.max_tokens" in told[-1]


TOKENS = "SELECT method_id, avg(reasoning_tokens) AS t FROM rollouts GROUP BY ALL"


class Stops(FakePolicy):
    """Dies after some answers; what it was asked is noted."""

    asked: list[tuple[Any, ...]]
    lives = 0
    last = 5

    async def generate(self, question: str, path: Any, sampling: Any, seed: int) -> Sample:
        if Stops.lives == 1 and len(Stops.asked) == Stops.last:
            raise EngineDied("the engine fell over")
        Stops.asked.append((question, path, sampling))
        return await super().generate(question, path, sampling, seed)


async def test_a_run_that_is_stopped_mid_thought_goes_on_there(
    tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = [{"method": "budget_forcing", "n": 1, "wait": 2}]
    value = base(tmp_path, count=1) | {"policy": THINKS, "methods": methods, "budgets": [1]}
    await evaluate(recipe_of(value), tmp_path / "whole")
    whole = rows(tmp_path / "whole", "SELECT * FROM rollouts")
    asked = one(tmp_path / "whole", "SELECT count(*) FROM calls WHERE kind = 'generate'")
    assert asked == 5, "the mark that opens it, three times its end, and the answer"
    for last in range(1, asked):
        Stops.asked, Stops.lives, Stops.last = [], 0, last

        async def opener(config: Any) -> Stops:
            Stops.lives += 1
            return Stops(config)

        monkeypatch.setattr(secret_blocks, "open_policy", opener)
        monkeypatch.setitem(ENGINE_TASK, "retry_delay_seconds", [0.01, 0.01, 0.01])
        store = tmp_path / f"after-{last}"
        await evaluate(recipe_of(value), store)
        assert Stops.lives == 2
        assert rows(store, "SELECT * FROM rollouts") == whole
        assert len(Stops.asked) == asked, "no answered call is made again"
        paths = [path for _, path, _ in Stops.asked]
        waits = [sum(isinstance(part, Given) for part in path) for path in paths]
        assert waits == [0, 0, 1, 2, 2]


class TestPlans:
    def test_a_policy_that_does_not_think_cannot_be_forced(self) -> None:
        with pytest.raises(UserError, match="reasoning is to be forced, but policy fake has none"):
            plan(reasoning={"max_tokens": 5})
        with pytest.raises(UserError, match="budget_forcing-n8-wait1 needs a policy that thinks, and fake does not"):
            plan(methods=[{"method": "budget_forcing", "n": 8, "wait": 1}])

    @pytest.mark.parametrize(
        ("reasoning", "reason"),
        [
            ({"max_tokens": 5, "min_tokens": 6}, "min_tokens = 6 is more than max_tokens = 5"),
            ({"marks": "none", "wait": 1}, "nothing is reasoning"),
            ({"search": True, "wait": 1}, "step by step"),
            ("thinks", "marks"),
            ({"marks": {"open": "<a>"}}, "close"),
            ({"marks": {"open": "<a>", "close": "<a>"}}, "name marks that differ"),
        ],
    )
    def test_contradictions_are_refused(self, reasoning: Any, reason: str) -> None:
        with pytest.raises(ValidationError, match=reason):
            plan(reasoning=reasoning)

    @pytest.mark.parametrize("words", ["Time is up.\n</think>\n\n", "<think>Wait"])
    def test_what_is_put_into_the_reasoning_holds_no_mark(self, words: str) -> None:
        forcing = {"method": "budget_forcing", "n": 8, "wait": 1, "text": words}
        for changes in (
            {"reasoning": {"max_tokens": 5, "ending": words}},
            {"reasoning": {"wait": 1, "text": words}},
            {"methods": [forcing]},
        ):
            with pytest.raises(UserError, match="leave the mark out"):
                plan(policy=THINKS, **changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {"reasoning": {"min_tokens": 256}},
            {"reasoning": {"max_tokens": 256}},
            {"methods": [{"method": "budget_forcing", "n": 8, "max_tokens": 300}]},
        ],
    )
    def test_a_budget_leaves_room_for_an_answer(self, changes: Row) -> None:
        with pytest.raises(ValidationError, match=r"no more than sampling\.max_tokens = 256"):
            plan(policy=THINKS, sampling={"max_tokens": 256}, **changes)

    def test_an_ending_needs_a_cut(self) -> None:
        with pytest.raises(ValidationError, match="stands where a budget cuts"):
            plan(policy=THINKS, reasoning={"ending": "So."})
        forced = [{"method": "budget_forcing", "n": 8, "max_tokens": 30}]
        assert plan(policy=THINKS, reasoning={"ending": "So."}, methods=forced).method_ids

    def test_by_chat_nothing_can_be_forced(self) -> None:
        for changes in (
            {"reasoning": {"max_tokens": 5}},
            {"methods": [{"method": "budget_forcing", "n": 8, "wait": 1}]},
        ):
            with pytest.raises(ValidationError, match="asked by chat"):
                plan(policy=SHARES, prm=None, **changes)

    def test_lookahead_and_searched_reasoning_do_not_go_together(self) -> None:
        with pytest.raises(ValidationError, match="looks ahead"):
            plan(methods=[{"method": "dvts", "n": 8, "lookahead": 1}], reasoning={"search": True})

    def test_only_what_changes_rollouts_is_in_keys(self) -> None:
        plain, thinks = searched().make_key, searched(policy=THINKS).make_key
        assert searched(reasoning="none").make_key == plain, "the fake writes no marks"
        assert searched(policy=THINKS, reasoning="none").make_key != thinks
        assert searched(policy=THINKS, reasoning={"text": "Hmm"}).make_key != thinks
        chat = {"methods": [{"method": "best_of_n", "n": 8}], "prm": None, "policy": SHARES}
        assert plan(**chat).nodes[1].key == plan(**chat, reasoning="none").nodes[1].key, "as before there were marks"

    def test_a_setting_at_its_default_is_in_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def reasoning(**config: Any) -> Any:
            node = plan(policy=THINKS, reasoning=config).nodes[1]
            assert isinstance(node, SampleNode)
            return node.identity["reasoning"]

        plain = {"marks": ["<think>", "</think>", None], "opened": False}
        assert reasoning() == plain
        assert reasoning(max_tokens=5) == plain | {"max_tokens": 5}
        before = searched(policy=THINKS).make_key, searched().make_key
        monkeypatch.setitem(identities.VERSIONS, "reasoning", 2)
        assert reasoning() == plain | {"code": {"reasoning": 2}}
        assert searched(policy=THINKS).make_key != before[0]
        assert searched().make_key == before[1]

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"max_tokens": 2048}, "budget_forcing-n8-max_tokens2048"),
            ({"wait": 2}, "budget_forcing-n8-wait2"),
            ({"max_tokens": 64, "wait": 2, "min_tokens": 8}, "budget_forcing-n8-max_tokens64-min_tokens8-wait2"),
        ],
    )
    def test_a_method_id_names_the_budget(self, settings: Row, named: str) -> None:
        method = {"method": "budget_forcing", "n": 8, **settings}
        assert plan(policy=THINKS, methods=[method]).method_ids == (named,)

    def test_a_text_of_ones_own_has_a_short_name(self) -> None:
        method = {"method": "budget_forcing", "n": 8, "wait": 1, "text": "\nHold on, let me check.\n"}
        (named,) = plan(policy=THINKS, methods=[method]).method_ids
        assert named.startswith("budget_forcing-n8-wait1-text") and len(named) < 40

    @pytest.mark.parametrize("text", ["n", "8", "wait", "a-b"])
    def test_a_text_takes_nothing_of_the_name_away(self, text: str) -> None:
        (named,) = plan(
            policy=THINKS, methods=[{"method": "budget_forcing", "n": 8, "wait": 1, "text": text}]
        ).method_ids
        assert named.startswith("budget_forcing-n8-wait1-text"), named

    def test_it_forces_something(self) -> None:
        with pytest.raises(ValidationError, match="forces nothing"):
            plan(policy=THINKS, methods=[{"method": "budget_forcing", "n": 8}])
