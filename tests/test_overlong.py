"""Solutions longer than the PRM reads: unknown, never 0; told in the report; a dead end of a search, not of the run."""

from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from search_runs import base, rows
from search_trees import SAMPLING, HandDrawn, Tree, play
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import secret_blocks
from overthink.flows.prm_eval import prm_eval
from overthink.storage.store import Store
from overthink.tasks.domains.math.extraction import is_final
from overthink.tasks.engines.fakes.fake import FakePrm
from overthink.tasks.errors import PromptTooLong
from overthink.tasks.methods.beam_search import beam_search
from overthink.tasks.methods.candidates import expand
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Score
from overthink.tasks.methods.tree import Node
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe
from overthink.tasks.records import Scores, Unscored

GROWTH = Growth(SAMPLING, max_depth=5, is_final=is_final)


class ShortSighted(HandDrawn):
    """A PRM that cannot read steps that hold "long"."""

    def score(self, request: Score) -> Any:
        return Unscored("too long") if any("long" in step for step in request.steps) else super().score(request)


def test_a_step_that_the_prm_cannot_read_is_no_candidate() -> None:
    nodes: list[Node] = []
    played = play(expand(GROWTH, None, range(3), nodes), ShortSighted({"": ["a 0.2", "long 0.9", "b 0.1"]}))
    assert [node.sample.text for node in played.result] == ["a", "b"]
    assert [(node.dropped, node.score, node.value) for node in nodes] == [
        (None, 0.2, 0.2),
        ("overlong", None, None),
        (None, 0.1, 0.1),
    ]


def test_where_none_can_be_read_the_draw_is_repeated() -> None:
    nodes: list[Node] = []
    tree: Tree = {"": ["long 0.9"], "retry 1": ["a 0.2"]}
    played = play(expand(GROWTH, None, range(1), nodes), ShortSighted(tree))
    assert [node.sample.text for node in played.result] == ["a"]
    assert [node.dropped for node in nodes] == ["overlong", None]


def test_a_path_that_grows_too_long_is_a_dead_end() -> None:
    tree: Tree = {"": ["a 0.9", "b 0.8"], "a": ["long 0.9"], "b": ["c. 0.5"]}
    outcome = play(beam_search(GROWTH, 2, 1), ShortSighted(tree)).result
    ends = {"/".join(sample.text for sample in one.path): (one.stop_reason, one.scores) for one in outcome.rollouts}
    assert ends == {"a": ("dead_end", (0.9,)), "b/c": ("stop", (0.8, 0.5))}


class LimitedPrm(FakePrm):
    limit = 0

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        if sum(map(len, steps)) > self.limit:
            raise PromptTooLong(f"the PRM's prompt for {question!r} has too many tokens; its limit is {self.limit}")
        return await super().score(question, steps, from_step)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> type[LimitedPrm]:
    async def opener(config: Any) -> LimitedPrm:
        return LimitedPrm(config)

    monkeypatch.setattr(secret_blocks, "open_prm", opener)
    monkeypatch.setattr(LimitedPrm, "limit", 25)
    return LimitedPrm


LENGTHS = """SELECT rollout_id, sum(length(text)) AS length,
  (SELECT count(*) FROM scores WHERE scores.rollout_id = steps.rollout_id) AS scores, count(*) AS steps
FROM steps GROUP BY rollout_id"""


async def test_a_long_rollout_has_no_scores_and_the_others_have_all(
    tmp_path: Path, limited: type[LimitedPrm], prefect_server: str
) -> None:
    recipe = recipe_of(base(tmp_path), methods=[{"method": "best_of_n", "n": 8}], budgets=[8])
    run_id = await evaluate(recipe, tmp_path / "store")
    found = rows(tmp_path / "store", LENGTHS)
    unscored = [row for row in found if row["scores"] == 0]
    assert 0 < len(unscored) < len(found)
    assert all(row["length"] > limited.limit for row in unscored)
    assert all(row["scores"] == row["steps"] for row in found if row["length"] <= limited.limit)
    result = CliRunner().invoke(app, ["report", run_id, "--store", str(tmp_path / "store")])
    assert f"{len(unscored)} rollouts are longer than the PRM reads" in " ".join(result.output.split())


async def test_where_nothing_fits_the_run_stops_with_problem_limit_and_remedy(
    tmp_path: Path, limited: type[LimitedPrm], monkeypatch: pytest.MonkeyPatch, prefect_server: str
) -> None:
    monkeypatch.setattr(limited, "limit", 0)
    recipe = recipe_of(base(tmp_path), methods=[{"method": "best_of_n", "n": 8}], budgets=[8])
    with pytest.raises(PromptTooLong, match=r"problem .*its limit is 0; raise prm.max_model_len"):
        await evaluate(recipe, tmp_path / "store")
    assert [run.status for run in Store(tmp_path / "store").runs()] == ["failed"]


async def test_a_search_goes_on_without_the_paths_that_do_not_fit(
    tmp_path: Path, limited: type[LimitedPrm], prefect_server: str
) -> None:
    recipe = recipe_of(base(tmp_path), methods=[{"method": "dvts", "n": 8}], budgets=[8])
    await evaluate(recipe, tmp_path / "store")
    dropped = rows(tmp_path / "store", "SELECT * FROM nodes WHERE dropped = 'overlong'")
    assert dropped
    assert all(row["score"] is None for row in dropped)
    assert rows(tmp_path / "store", "SELECT * FROM rollouts WHERE stop_reason = 'dead_end'")


async def test_a_labelled_solution_that_does_not_fit_is_an_error(
    tmp_path: Path, limited: type[LimitedPrm], monkeypatch: pytest.MonkeyPatch, prefect_server: str
) -> None:
    async def opener(config: Any) -> LimitedPrm:
        return LimitedPrm(config)

    monkeypatch.setattr(secret_blocks, "open_prm", opener)
    value = {"name": "trial", "solutions": {"source": "chains", "count": 20}, "prm": {"engine": "fake"}}
    with pytest.raises(PromptTooLong, match="its limit is 25; raise prm.max_model_len"):
        await prm_eval(PrmEvalRecipe.model_validate(value), tmp_path / "store")
