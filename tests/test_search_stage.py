"""Stage search on fake engines: tables that agree with each other, calls made once, failures told, nobody held up."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import recipe_of

import flows.evaluate as module
from flows.evaluate import evaluate, is_finished
from flows.plan import make_plan, search_of
from flows.recipe import Recipe
from storage.sql import query
from storage.stages import Cover, Entry
from storage.store import Store
from tasks.engines.catalogue import EngineSlot
from tasks.engines.config import FakePolicyConfig, FakePrmConfig
from tasks.engines.fake import FakePolicy, FakePrm, hash_number
from tasks.errors import BadReply, EngineDied
from tasks.problems.sources import load_problems
from tasks.recorder import Recorder
from tasks.records import Sample, Sampling, Scores
from tasks.sampling import RolloutWork
from tasks.searching import search

Row = dict[str, Any]
Table = dict[str, list[Row]]  # by method

PROBLEMS = 5
SEARCHES: dict[str, Row] = {
    "beam_search-n8-m4": {"method": "beam_search", "n": 8},
    "beam_search-n8-m4-hf": {"method": "beam_search", "n": 8, "variant": "hf"},
    "beam_search-n8-m4-lookahead2": {"method": "beam_search", "n": 8, "lookahead": 2},
    # Nine in ten of the steps that the fake writes do not fit into 13 tokens, so paths come to dead ends.
    "beam_search-n8-m2-step_tokens13": {"method": "beam_search", "n": 8, "beam_width": 2, "step_tokens": 13},
    "dvts-n8-m4": {"method": "dvts", "n": 8},
    "dvts-n8-m4-siblings": {"method": "dvts", "n": 8, "return": "siblings"},
    "rebase-n8-max_depth3": {"method": "rebase", "n": 8, "max_depth": 3},
    "particle_filtering-n8": {"method": "particle_filtering", "n": 8},
    "particle_filtering-n8-iterations2": {"method": "particle_filtering", "n": 8, "iterations": 2},
    "mcts-n8-m4": {"method": "mcts", "n": 8},
    "mcts-n8-m4-uct": {"method": "mcts", "n": 8, "rule": "uct"},
    "mcts-n8-m2-step_tokens13": {"method": "mcts", "n": 8, "beam_width": 2, "step_tokens": 13},
}
OTHERS: dict[str, Row] = {
    "best_of_n-n8": {"method": "best_of_n", "n": 8},
    "adaptive-n16-threshold0.8": {"method": "adaptive", "n": 16, "threshold": 0.8},
}
LOOKAHEAD = "beam_search-n8-m4-lookahead2"
ADAPTIVE = "adaptive-n16-threshold0.8"
ANSWERS_ALONE = [*SEARCHES, ADAPTIVE]


def base(folder: Path) -> Row:
    """A recipe on fakes; half of its problems have the answer that the fake gives most often."""
    problems = folder / "problems.jsonl"
    lines = [{"question": f"What is question {number}?", "answer": str(number % 2)} for number in range(PROBLEMS)]
    problems.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return {
        "name": "trees",
        "problems": {"source": "file", "path": str(problems)},
        "policy": {"engine": "fake", "steps": 6},
        "prm": {"engine": "fake"},
        "methods": [{"method": "dvts", "n": 8}],
        "budgets": [1, 4, 8],
        "sampling": {"max_tokens": 256},
        "shard_size": 2,
    }


def rows(store: Path, sql: str) -> list[Row]:
    return list(query(Store(store), sql).to_pylist())


def one(store: Path, sql: str) -> Any:
    (row,) = rows(store, sql)
    return next(iter(row.values()))


def contents(store: Path) -> dict[str, list[Row]]:
    """Every public table without what only the clock decides."""
    tables = ("problems", "rollouts", "steps", "scores", "nodes", "grades", "selections", "calls", "summary")
    timeless = {"calls": "* EXCLUDE (latency_ms, started_at)"}
    return {name: rows(store, f"SELECT {timeless.get(name, '*')} FROM {name} ORDER BY ALL") for name in tables}


def snapshot(store: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and times of all files but the runs' manifests and the locks, which every flow run touches."""
    files = [path for path in store.rglob("*") if path.is_file() and path.suffix in (".parquet", ".json", ".sqlite")]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files if path.name != "run.json"}


@dataclass(frozen=True)
class Finished:
    """A run with every method, and its tables by method."""

    store: Path
    recipe: Recipe
    rollouts: Table
    nodes: Table
    calls: Table
    summary: Table
    selections: Table
    steps: dict[str, list[str]]  # by rollout
    scores: dict[str, list[float]]


@pytest.fixture(scope="module")
def finished(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("searches")
    methods = [*OTHERS.values(), *SEARCHES.values()]
    recipe = recipe_of(base(folder), methods=methods, shard_size=3)
    store = folder / "store"
    asyncio.run(evaluate(recipe, store))

    def by_method(table: str) -> Table:
        found: Table = defaultdict(list)
        for row in rows(store, f"SELECT * FROM {table}"):
            found[row["method_id"]].append(row)
        return found

    def by_rollout(table: str, column: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = defaultdict(list)
        for row in rows(store, f"SELECT * FROM {table} ORDER BY rollout_id, step_index"):
            assert row["step_index"] == len(found[row["rollout_id"]])
            found[row["rollout_id"]].append(row[column])
        return found

    return Finished(
        store=store,
        recipe=recipe,
        rollouts=by_method("rollouts"),
        nodes=by_method("nodes"),
        calls=by_method("calls"),
        summary=by_method("summary"),
        selections=by_method("selections"),
        steps=by_rollout("steps", "text"),
        scores=by_rollout("scores", "score"),
    )


def test_a_run_with_every_method_completes(finished: Finished) -> None:
    assert one(finished.store, "SELECT status FROM runs") == "complete"
    assert {*finished.rollouts} == {*SEARCHES, *OTHERS} == {*finished.summary}
    assert {*finished.nodes} == {*SEARCHES}
    for rollouts in finished.rollouts.values():
        assert len({row["problem_id"] for row in rollouts}) == PROBLEMS
    assert not list(finished.store.rglob("journal.sqlite*"))


def test_the_run_saw_dead_ends_cut_steps_repeated_draws_duplicates_and_the_depth_limit(finished: Finished) -> None:
    nodes = [row for table in finished.nodes.values() for row in table]
    assert {row["dropped"] for row in nodes} == {None, "length", "duplicate"}
    assert max(row["draw"] for row in nodes) >= 3_000_000, "the draws were repeated up to three times"
    reasons = {row["stop_reason"] for method_id in SEARCHES for row in finished.rollouts[method_id]}
    assert reasons == {"stop", "depth", "dead_end"}


@pytest.mark.parametrize("method_id", SEARCHES)
def test_every_node_has_an_id_of_its_own_and_hangs_one_step_below_its_parent(
    finished: Finished, method_id: str
) -> None:
    nodes = finished.nodes[method_id]
    by_id = {row["node_id"]: row for row in nodes}
    assert len(by_id) == len(nodes)
    for row in nodes:
        parent = by_id.get(row["parent_id"])
        assert row["depth"] == (1 if row["parent_id"] is None else by_id[row["parent_id"]]["depth"] + 1)
        assert parent is None or parent["problem_id"] == row["problem_id"]
        assert parent is None or (parent["dropped"] is None and not parent["finished"]), "only a candidate goes on"


@dataclass(frozen=True)
class KeptPath:
    """A path of kept nodes from the question."""

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    completion_tokens: int
    finished: bool


def kept_paths(nodes: list[Row]) -> list[KeptPath]:
    """Every path from the question on which all nodes are kept; the empty one too."""
    children: dict[str | None, list[Row]] = defaultdict(list)
    for row in nodes:
        if row["kept"]:
            children[row["parent_id"]].append(row)
    paths = [KeptPath((), (), 0, False)]
    waiting: list[tuple[KeptPath, str | None]] = [(paths[0], None)]
    while waiting:
        path, node_id = waiting.pop()
        for row in children[node_id]:
            score = () if row["score"] is None else (row["score"],)
            tokens = path.completion_tokens + row["completion_tokens"]
            longer = KeptPath((*path.texts, row["text"]), path.scores + score, tokens, row["finished"])
            paths.append(longer)
            waiting.append((longer, row["node_id"]))
    return paths


@pytest.mark.parametrize("method_id", SEARCHES)
def test_a_rollout_is_the_path_of_kept_nodes_that_its_steps_and_scores_tell(finished: Finished, method_id: str) -> None:
    for problem_id in {row["problem_id"] for row in finished.rollouts[method_id]}:
        paths = kept_paths([row for row in finished.nodes[method_id] if row["problem_id"] == problem_id])
        for rollout in finished.rollouts[method_id]:
            if rollout["problem_id"] != problem_id:
                continue
            steps = finished.steps.get(rollout["rollout_id"], [])
            scores = finished.scores.get(rollout["rollout_id"], [])
            assert len(steps) == len(scores) == rollout["step_count"]
            found = [path for path in paths if "\n\n".join(path.texts) == rollout["text"]]
            found = [path for path in found if list(path.scores) == scores]
            assert found, rollout
            assert steps == [text.strip() for text in found[0].texts if text.strip()]
            assert rollout["completion_tokens"] in {path.completion_tokens for path in found}
            ended = rollout["stop_reason"] in ("stop", "depth")
            assert ended in {path.finished for path in found}


@pytest.mark.parametrize("method_id", SEARCHES)
def test_rollouts_are_numbered_from_0_and_at_most_n(finished: Finished, method_id: str) -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in finished.rollouts[method_id]:
        numbers[row["problem_id"]].append(row["sample_index"])
    assert all(sorted(found) == list(range(len(found))) for found in numbers.values())
    assert max(map(len, numbers.values())) <= SEARCHES[method_id]["n"]


@pytest.mark.parametrize("method_id", SEARCHES)
def test_every_candidate_with_text_has_a_score_and_nothing_else_has_one(finished: Finished, method_id: str) -> None:
    for row in finished.nodes[method_id]:
        is_candidate = row["dropped"] is None
        assert (row["value"] is not None) == is_candidate
        assert (row["score"] is not None) == (is_candidate and bool(row["text"].strip()))
        assert row["score"] is None or 0 < row["score"] < 1
    if method_id != LOOKAHEAD:
        assert all(row["value"] == row["score"] for row in finished.nodes[method_id] if row["text"].strip())


@pytest.mark.parametrize("method_id", SEARCHES)
def test_the_prm_was_asked_once_a_scored_node_and_the_policy_once_a_node(finished: Finished, method_id: str) -> None:
    kinds = Counter(row["kind"] for row in finished.calls[method_id])
    nodes = finished.nodes[method_id]
    assert kinds["score"] == sum(row["score"] is not None for row in nodes)
    written = sum(row["output_tokens"] for row in finished.calls[method_id])
    assert written == sum(row["completion_tokens"] + row["lookahead_tokens"] for row in nodes)
    if method_id == LOOKAHEAD:
        assert kinds["generate"] > len(nodes)
    else:
        assert kinds["generate"] == len(nodes)
        assert written == sum(row["completion_tokens"] for row in nodes)
    assert len({row["call_key"] for row in finished.calls[method_id]}) == kinds.total()


@pytest.mark.parametrize("method_id", ANSWERS_ALONE)
def test_a_method_whose_rollouts_only_count_together_answers_its_own_n_alone(
    finished: Finished, method_id: str
) -> None:
    n = (SEARCHES | OTHERS)[method_id]["n"]
    selectors = finished.recipe.chosen_selectors()
    assert sorted((row["selector"], row["n"]) for row in finished.summary[method_id]) == sorted(
        (selector, n) for selector in selectors
    )
    assert {row["n"] for row in finished.selections[method_id]} == {n}
    assert len(finished.selections[method_id]) == len(selectors) * PROBLEMS
    assert {row["estimator"] for row in finished.summary[method_id]} == {"exact"}


@pytest.mark.parametrize("method_id", SEARCHES)
def test_the_tokens_of_the_summary_are_those_of_the_calls(finished: Finished, method_id: str) -> None:
    calls = finished.calls[method_id]
    policy = sum(row["output_tokens"] for row in calls if row["kind"] == "generate")
    prm = sum(row["input_tokens"] for row in calls if row["kind"] == "score")
    for row in finished.summary[method_id]:
        assert (row["policy_tokens"], row["prm_tokens"]) == (policy, prm), row["selector"]
        assert row["flops"] is None, "the fakes' sizes are unknown"


@pytest.mark.parametrize("method_id", ANSWERS_ALONE)
def test_every_selector_chooses_among_the_answers_of_the_rollouts(finished: Finished, method_id: str) -> None:
    answers: dict[str, set[str | None]] = defaultdict(set)
    for row in finished.rollouts[method_id]:
        answers[row["problem_id"]].add(row["answer"])
    for row in finished.selections[method_id]:
        expected = answers[row["problem_id"]]
        assert row["answer"] in expected
        assert row["answer"] is not None or expected == {None}, "who has an answer has a say"
        assert row["correct"] is not None


def test_adaptive_draws_less_than_its_budget_and_what_it_drew_is_graded_and_scored(finished: Finished) -> None:
    rollouts = finished.rollouts[ADAPTIVE]
    drawn = Counter(row["problem_id"] for row in rollouts)
    assert all(count % 4 == 0 for count in drawn.values()), "it draws in waves of 4"
    assert len(rollouts) < 16 * PROBLEMS
    graded = rows(
        finished.store,
        "SELECT correct, step_count, (SELECT count(*) FROM scores s WHERE s.rollout_id = r.rollout_id) AS scored "
        f"FROM rollouts r JOIN grades USING (rollout_id) WHERE method_id = '{ADAPTIVE}'",
    )
    assert len(graded) == len(rollouts)
    assert {row["correct"] for row in graded} == {True, False}
    assert all(row["step_count"] == row["scored"] > 0 for row in graded)
    kinds = Counter(row["kind"] for row in finished.calls[ADAPTIVE])
    assert kinds["generate"] == len(rollouts)


async def test_a_finished_run_again_loads_no_engine_and_changes_no_file(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opener(config: Any) -> Any:
        raise AssertionError(f"{config.engine} was loaded")

    monkeypatch.setattr(module, "open_policy", opener)
    monkeypatch.setattr(module, "open_prm", opener)
    before = snapshot(finished.store)
    assert is_finished(make_plan(finished.recipe, load_problems(finished.recipe.problems)), Store(finished.store))
    await evaluate(finished.recipe, finished.store)
    assert snapshot(finished.store) == before


async def test_recipes_that_differ_in_other_methods_share_a_searchs_trees(
    finished: Finished, count_calls: Counter[str]
) -> None:
    changes = {"name": "other", "methods": [{"method": "dvts", "n": 8}, {"method": "cot"}], "budgets": [1, 8]}
    recipe = recipe_of(finished.recipe.model_dump(mode="json"), **changes)
    run_id = await evaluate(recipe, finished.store)
    assert count_calls == {"generate": PROBLEMS, "score": PROBLEMS}, "cot alone asked"
    sql = "SELECT * EXCLUDE (run_id) FROM nodes WHERE method_id = 'dvts-n8-m4' AND run_id {} '{}' ORDER BY ALL"
    own = rows(finished.store, sql.format("=", run_id))
    assert own == rows(finished.store, sql.format("!=", run_id))
    assert len(own) == len(finished.nodes["dvts-n8-m4"])


# What dies, is interrupted or answers nonsense.


class Mortal:
    """Counts answers; the first life ends after some of them."""

    lives = 0
    answered = 0
    last_answers = 60

    @classmethod
    async def answer(cls, reply: Awaitable[Any]) -> Any:
        if cls.lives == 1 and cls.answered >= cls.last_answers:
            cast(Any, reply).close()
            raise EngineDied("the engine fell over")
        value = await reply
        cls.answered += 1
        return value


class MortalPolicy(FakePolicy):
    async def generate(self, *arguments: Any) -> Sample:
        return cast(Sample, await Mortal.answer(super().generate(*arguments)))


class MortalPrm(FakePrm):
    async def score(self, *arguments: Any) -> Scores:
        return cast(Scores, await Mortal.answer(super().score(*arguments)))


@pytest.mark.parametrize(("opened", "mortal"), [("open_policy", MortalPolicy), ("open_prm", MortalPrm)])
async def test_a_search_whose_engine_dies_is_retried_and_goes_on_where_it_was(
    opened: str,
    mortal: Callable[[Any], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefect_server: str,
    finished: Finished,
) -> None:
    async def opener(config: Any) -> Any:
        Mortal.lives += 1
        return mortal(config)

    monkeypatch.setattr(Mortal, "lives", 0)
    monkeypatch.setattr(Mortal, "answered", 0)
    monkeypatch.setattr(module, opened, opener)
    monkeypatch.setattr(search, "retry_delay_seconds", [0.01, 0.01, 0.01])
    recipe = recipe_of(base(tmp_path), methods=[{"method": "dvts", "n": 8}])
    await evaluate(recipe, tmp_path / "store")
    assert Mortal.lives == 2
    kind = "generate" if mortal is MortalPolicy else "score"
    calls = Counter(row["kind"] for row in rows(tmp_path / "store", "SELECT * FROM calls"))
    assert Mortal.answered == calls[kind] > Mortal.last_answers, "no answered call was made again"
    whole = finished.nodes["dvts-n8-m4"]
    found = rows(tmp_path / "store", "SELECT * FROM nodes")
    assert sorted(row["node_id"] for row in found if row["kept"]) == sorted(
        row["node_id"] for row in whole if row["kept"]
    )
    assert len(found) == len(whole)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda values: values[:-1], "gave 0 scores for 1 steps of problem 3"),
        (lambda values: (*values, 0.5), "gave 2 scores for 1 steps of problem 3"),
        (lambda values: (float("nan"),), "gave the score nan for problem 3"),
    ],
    ids=["too few", "too many", "nan"],
)
async def test_a_prm_that_answers_nonsense_in_a_search_stops_the_run_and_nothing_becomes_0(
    spoil: Callable[[tuple[float, ...]], tuple[float, ...]],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefect_server: str,
) -> None:
    class Forgetful(FakePrm):
        async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
            scores = await super().score(question, steps, from_step)
            if "question 3" in question and from_step == 2:
                return Scores(spoil(scores.values), scores.input_tokens)
            return scores

    async def opener(config: Any) -> Forgetful:
        return Forgetful(config)

    monkeypatch.setattr(module, "open_prm", opener)
    store = tmp_path / "store"
    with pytest.raises(BadReply, match=rf"PRM fake@\w+ {reason}"):
        await evaluate(recipe_of(base(tmp_path)), store)
    assert one(store, "SELECT status FROM runs") == "failed"
    assert rows(store, "SELECT DISTINCT problem_id FROM nodes ORDER BY 1") == [
        {"problem_id": problem_id} for problem_id in ("0", "1", "4")
    ], "the shard of problems 2 and 3 is not written, the others are"
    assert one(store, "SELECT count(*) FROM scores WHERE score IS NULL OR score = 0") == 0
    assert one(store, "SELECT count(*) FROM nodes WHERE dropped IS NULL AND (score IS NULL OR score = 0)") == 0
    assert one(store, "SELECT count(*) FROM selections") == 0


async def test_a_cancelled_search_leaves_a_store_to_go_on_with(
    tmp_path: Path, prefect_server: str, count_calls: Counter[str]
) -> None:
    slow = {"engine": "fake", "steps": 6, "latency_ms": 20}
    recipe = recipe_of(base(tmp_path), policy=slow)
    running = asyncio.create_task(evaluate(recipe, tmp_path / "store"))
    while count_calls["generate"] < 60:
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (stage,) = [stage for stage in Store(tmp_path / "store").stages() if stage.key.startswith("search-")]
    journal = stage.journal()
    journaled = len(journal.known())
    journal.close()
    assert journaled > 0
    asked = count_calls.total()
    await evaluate(recipe, tmp_path / "store")
    calls = one(tmp_path / "store", "SELECT count(*) FROM calls")
    assert calls == one(tmp_path / "store", "SELECT count(DISTINCT call_key) FROM calls")
    written = sum(entry.cover.units != () for entry in stage.entries())
    assert written == 3
    assert count_calls.total() - asked <= calls - journaled, "no journaled call was made again"
    whole = recipe_of(base(tmp_path))  # latency determines nothing
    await evaluate(whole, tmp_path / "whole")
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")
    assert not list((tmp_path / "store").rglob("journal.sqlite*"))


# The driver under the stage, without a flow around it.


@dataclass
class Worksite:
    """A search stage of all problems in one shard, over engines of the test's own."""

    recipe: Recipe
    root: Path
    policy: FakePolicy
    prm: FakePrm
    bound: int = 256
    on_problem: Callable[[], None] = lambda: None

    async def search(self) -> Entry:
        plan = make_plan(self.recipe, load_problems(self.recipe.problems))
        (method,) = plan.methods
        stage = Store(self.root).stage(method.make_key)
        recorder = Recorder(stage.journal())
        work = RolloutWork(
            stage=stage,
            problems=plan.by_key,
            search=partial(search_of, self.recipe, method.method),
            delimiter="\n\n",
            seed=0,
            model="fake",
            prm_id=plan.prm_id,
            policy=EngineSlot(self.policy, _itself),
            prm=EngineSlot(self.prm, _itself),
            recorder=recorder,
            in_flight=asyncio.Semaphore(self.bound),
            on_call=lambda _: None,
            on_problem=self.on_problem,
        )
        try:
            return await search.fn(work, Cover(plan.units, 0, method.method.n))
        finally:
            await recorder.close()

    def tables(self) -> Mapping[str, list[Row]]:
        (stage,) = Store(self.root).stages()
        clock = {"latency_ms", "started_at"}
        return {
            name: [
                {column: value for column, value in row.items() if column not in clock}
                for row in stage.table(name).to_pylist()
            ]
            for name in ("rollouts", "steps", "scores", "nodes", "calls")
        }


async def _itself(engine: Any) -> Any:
    return engine


def fake_policy() -> FakePolicy:
    return FakePolicy(FakePolicyConfig(steps=6))


def fake_prm() -> FakePrm:
    return FakePrm(FakePrmConfig())


class Crowd:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def visit(self, reply: Awaitable[Any]) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0.001)
        value = await reply
        self.inside -= 1
        return value


@pytest.mark.parametrize("method", [{"method": "dvts", "n": 8}, {"method": "beam_search", "n": 8, "lookahead": 1}])
async def test_what_is_in_flight_reaches_its_bound_and_never_exceeds_it(method: Row, tmp_path: Path) -> None:
    crowd = Crowd()

    class CrowdedPolicy(FakePolicy):
        async def generate(self, *arguments: Any) -> Sample:
            return cast(Sample, await crowd.visit(super().generate(*arguments)))

    class CrowdedPrm(FakePrm):
        async def score(self, *arguments: Any) -> Scores:
            return cast(Scores, await crowd.visit(super().score(*arguments)))

    policy, prm = CrowdedPolicy(FakePolicyConfig(steps=6)), CrowdedPrm(FakePrmConfig())
    await Worksite(recipe_of(base(tmp_path), methods=[method]), tmp_path / "store", policy, prm, bound=7).search()
    assert crowd.most == 7, "the policy's and the PRM's calls together"


@pytest.mark.parametrize("method_id", ["beam_search-n8-m4", "dvts-n8-m4", "particle_filtering-n8", "mcts-n8-m4"])
async def test_a_slow_problem_holds_no_other(method_id: str, tmp_path: Path) -> None:
    others_done = asyncio.Event()
    done: list[bool] = []

    def on_problem() -> None:
        done.append(others_done.is_set())
        if len(done) == PROBLEMS - 1:
            others_done.set()

    class Slow(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Sampling, seed: int) -> Sample:
            if "question 0" in question and len(path) == 1:
                await asyncio.wait_for(others_done.wait(), timeout=30)
            return await super().generate(question, path, sampling, seed)

    recipe = recipe_of(base(tmp_path), methods=[SEARCHES[method_id]])
    policy = Slow(FakePolicyConfig(steps=6))
    await Worksite(recipe, tmp_path / "store", policy, fake_prm(), on_problem=on_problem).search()
    assert done == [False] * (PROBLEMS - 1) + [True], "the slow problem came last, and all others before it"


async def test_a_slow_subtree_holds_no_other_of_its_problem(tmp_path: Path) -> None:
    ended: set[str] = set()  # first steps of paths that came to an answer
    slow: dict[str, str] = {}  # the first step first gone on from, by question

    class Slow(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Sampling, seed: int) -> Sample:
            if path:
                first = path[0].text
                if slow.setdefault(question, first) == first:
                    async with asyncio.timeout(30):
                        while not ended - {first}:
                            await asyncio.sleep(0.001)
            sample = await super().generate(question, path, sampling, seed)
            if path and sample.stop_reason == "stop":
                ended.add(path[0].text)
            return sample

    recipe = recipe_of(base(tmp_path), problems={"source": "chains", "count": 1})
    await Worksite(recipe, tmp_path / "store", Slow(FakePolicyConfig(steps=6)), fake_prm()).search()
    assert len(ended) == 2, "both subtrees came to an answer, the slow one after the other"


@pytest.mark.parametrize("method_id", ["beam_search-n8-m4-lookahead2", "dvts-n8-m4", "mcts-n8-m2-step_tokens13"])
async def test_the_order_in_which_replies_land_changes_no_row(method_id: str, tmp_path: Path) -> None:
    def late(*parts: object) -> float:
        return hash_number("late", *parts) % 5 / 1000

    class LatePolicy(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Sampling, seed: int) -> Sample:
            await asyncio.sleep(late(question, len(path), seed))
            return await super().generate(question, path, sampling, seed)

    class LatePrm(FakePrm):
        async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
            await asyncio.sleep(late(question, steps))
            return await super().score(question, steps, from_step)

    recipe = recipe_of(base(tmp_path), methods=[SEARCHES[method_id]])
    prompt = Worksite(recipe, tmp_path / "prompt", fake_policy(), fake_prm())
    delayed = Worksite(recipe, tmp_path / "late", LatePolicy(FakePolicyConfig(steps=6)), LatePrm(FakePrmConfig()))
    await prompt.search()
    await delayed.search()
    assert delayed.tables() == prompt.tables()
    assert len(prompt.tables()["nodes"]) > 20


async def test_two_subtrees_of_which_one_gets_nonsense_lose_no_reply_of_the_other(tmp_path: Path) -> None:
    asked: set[tuple[str, ...]] = set()

    class Forgetful(FakePrm):
        async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
            is_first = not asked
            asked.add(steps)
            if is_first:
                return Scores((), 0)
            await asyncio.sleep(0.01)  # the nonsense is known before any other reply lands
            return await super().score(question, steps, from_step)

    recipe = recipe_of(base(tmp_path), problems={"source": "chains", "count": 1})
    site = Worksite(recipe, tmp_path / "store", fake_policy(), Forgetful(FakePrmConfig()))
    with pytest.raises(BadReply, match="gave 0 scores for 1 steps of problem chain-01"):
        await site.search()
    (stage,) = Store(tmp_path / "store").stages()
    journal = stage.journal()
    scored = [call for call in journal.calls([_unit(recipe)], 0, 2**31 - 1) if call.kind == "score"]
    journal.close()
    assert len(scored) == len(asked) - 1 >= 7, "every reply that landed is journaled, the nonsense is not"


def _unit(recipe: Recipe) -> str:
    (problem,) = load_problems(recipe.problems).problems
    return problem.problem_key
