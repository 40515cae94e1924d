"""Whole runs over servers: what is stored, what a dead server costs, and that no key is written anywhere."""

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from model_server import ModelServer, answering, policy_at, prm_at, serving
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from pydantic import ValidationError
from search_runs import rows

from overthink.flows.evaluate import evaluate
from overthink.tasks.engines.http import endpoints
from overthink.tasks.errors import EngineDied, EngineUnavailable
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.shards import ENGINE_TASK

pytestmark = pytest.mark.usefixtures("prefect_server")

COMMAND = Path(sys.executable).parent / "overthink"
KEY = "sk-test-3f9a1c77d2e64b0b"
PROBLEMS = 3


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SHORTEST_WAIT", 0.01)
    monkeypatch.setattr(endpoints, "LONGEST_WAIT", 0.05)
    monkeypatch.setitem(ENGINE_TASK, "retry_delay_seconds", [0.01, 0.01, 0.01])


def recipe(folder: Path, server: ModelServer, **changes: Any) -> dict[str, Any]:
    problems = folder / "problems.jsonl"
    asked = [{"question": f"Take {number}, plus 11. What is it?", "answer": "31"} for number in range(PROBLEMS)]
    problems.write_text("".join(json.dumps(problem) + "\n" for problem in asked), encoding="utf-8")
    return {
        "name": "served",
        "problems": {"source": "file", "path": str(problems)},
        "policy": policy_at(server, patience_seconds=1).model_dump(mode="json"),
        "methods": [{"method": "cot"}, {"method": "best_of_n", "n": 4}],
        "budgets": [1, 4],
        "sampling": {"temperature": 1.0, "max_tokens": 200},
    } | changes


def searching(folder: Path, server: ModelServer) -> Recipe:
    prm = prm_at(server, patience_seconds=1).model_dump(mode="json")
    methods = [{"method": "beam_search", "n": 8, "beam_width": 4}]
    return recipe_of(recipe(folder, server), prm=prm, methods=methods)


async def test_best_of_n_over_chat_is_graded_and_what_is_unknown_is_null(tmp_path: Path) -> None:
    async with serving(ModelServer(usage=False)) as server:
        config = policy_at(server, tokenizer=None).model_dump(mode="json")
        await evaluate(recipe_of(recipe(tmp_path, server), policy=config), tmp_path / "store")
    (counts,) = rows(
        tmp_path / "store",
        "SELECT count(*) AS rollouts, count(completion_tokens) AS counted, count(logprob_sum) AS judged, "
        "count(prompt_tokens) AS prompts, min(step_count) AS steps FROM rollouts",
    )
    assert counts == {"rollouts": PROBLEMS * 5, "counted": 0, "judged": 0, "prompts": 0, "steps": 2}
    assert rows(tmp_path / "store", "SELECT DISTINCT completion_tokens, logprob_sum FROM steps") == [
        {"completion_tokens": None, "logprob_sum": None}
    ]
    calls = "SELECT DISTINCT input_tokens, cached_tokens, output_tokens FROM calls"
    assert rows(tmp_path / "store", calls) == [dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens"))]
    costs = "SELECT DISTINCT policy_completion_tokens, policy_flops, gpu_seconds FROM costs"
    assert rows(tmp_path / "store", costs) == [
        dict.fromkeys(("policy_completion_tokens", "policy_flops", "gpu_seconds"))
    ]
    assert rows(tmp_path / "store", "SELECT DISTINCT accuracy, policy_tokens FROM summary") == [
        {"accuracy": 1.0, "policy_tokens": None}
    ]


async def test_tokens_that_a_chat_endpoint_counts_are_stored(tmp_path: Path) -> None:
    async with serving(ModelServer()) as server:
        config = policy_at(server, tokenizer=None).model_dump(mode="json")
        await evaluate(recipe_of(recipe(tmp_path, server), policy=config), tmp_path / "store")
    found = rows(tmp_path / "store", "SELECT DISTINCT prompt_tokens, completion_tokens, logprob_sum FROM rollouts")
    assert found == [{"prompt_tokens": 30, "completion_tokens": 12, "logprob_sum": None}]


async def test_a_search_whose_server_dies_goes_on_when_it_is_back_and_asks_nothing_twice(tmp_path: Path) -> None:
    dying = ModelServer()
    plan = searching(tmp_path, dying)
    async with serving(ModelServer()) as whole:
        await evaluate(searching(tmp_path, whole), tmp_path / "whole")
    async with serving(dying):
        dying.faults = itertools.chain(
            itertools.repeat(None, 20),  # type: ignore[arg-type]
            itertools.repeat(answering(500, "engine core died")),
        )
        with pytest.raises(EngineDied, match="engine core died"):
            await evaluate(plan, tmp_path / "store")
    with pytest.raises(EngineUnavailable, match="no endpoint of served answers"):
        await evaluate(plan, tmp_path / "store")
    first = len(rows(tmp_path / "whole", "SELECT * FROM calls"))
    dying.faults = iter(())
    before = len(dying.bodies)
    async with serving(dying):
        await evaluate(plan, tmp_path / "store")
    opening = 2  # what policy and PRM ask to find out whom they talk to
    assert len(dying.bodies) - before < first + opening, "answered calls were replayed"
    nodes = "SELECT * EXCLUDE (run_id) FROM nodes ORDER BY ALL"
    assert rows(tmp_path / "store", nodes) == rows(tmp_path / "whole", nodes)
    asked = len(dying.bodies)
    await evaluate(plan, tmp_path / "store")  # the server is gone, and nobody asks for it
    assert len(dying.bodies) == asked


async def command(*words: str, home: Path, api: str | None = None, key: str | None = KEY) -> tuple[int, str]:
    """Run `overthink` with the key in its environment and a Prefect of its own; its exit code and output."""
    environment = os.environ | {"PREFECT_HOME": str(home / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    environment |= {"PREFECT_API_URL": api} if api else {}
    environment |= {"SERVED_KEY": key} if key else {}
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *words,
        env=environment,
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_no_key_is_written_anywhere(tmp_path: Path) -> None:
    echo = f"the key {KEY} is out of credit " * 20
    async with serving(ModelServer()) as server:
        config = policy_at(server, api_key_env="SERVED_KEY").model_dump(mode="json")
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(recipe(tmp_path, server, policy=config, methods=[{"method": "cot"}], budgets=[1])))
        words = ("run", str(path), "--store", str(tmp_path / "store"))
        opening = [None]  # the question by which the policy finds out whom it talks to
        server.faults = iter([*opening, answering(500, echo), answering(400, echo)])  # type: ignore[list-item]
        code, output = await command(*words, home=tmp_path)
        assert code == 1, output
        assert "the key [key] is out of credit" in output, output
        server.faults = iter([answering(401, echo)])
        code, refused = await command(*words, home=tmp_path)
        assert code == 2, refused
        assert "check the key in SERVED_KEY" in refused, refused
        code, done = await command(*words, home=tmp_path)
        assert code == 0, done
        assert set(server.keys) == {f"Bearer {KEY}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "run.log" for path in written)
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in output + refused + done


async def test_a_key_from_a_block_is_sent_and_written_nowhere_but_in_the_block(
    real_prefect_server: str, tmp_path: Path
) -> None:
    block = f"key-of-{tmp_path.name.replace('_', '-')}".lower()
    await Secret(value=KEY).save(block)
    echo = answering(401, f"the key {KEY} is refused")
    async with serving(ModelServer()) as server:
        config = policy_at(server, api_key_block=block).model_dump(mode="json")
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(recipe(tmp_path, server, policy=config, methods=[{"method": "cot"}], budgets=[1])))
        words = ("run", str(path), "--store", str(tmp_path / "store"))
        server.faults = iter([echo])
        code, refused = await command(*words, home=tmp_path, api=real_prefect_server, key=None)
        assert code == 2 and f"check the key in the Secret block {block}" in refused, refused
        code, done = await command(*words, home=tmp_path, api=real_prefect_server, key=None)
        assert code == 0, done
        assert set(server.keys) == {f"Bearer {KEY}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "run.log" for path in written)
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in refused + done
    async with get_client() as client:
        assert KEY not in str(await client.read_logs(limit=200))
        assert KEY not in str(await client.read_flow_runs(limit=200))


async def test_a_block_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    server = ModelServer()
    config = policy_at(server, api_key_block="no-such-block").model_dump(mode="json")
    with pytest.raises(EngineUnavailable, match="has no Secret block 'no-such-block': create it"):
        await evaluate(recipe_of(recipe(tmp_path, server), policy=config), tmp_path / "store")


def test_a_key_is_in_one_place() -> None:
    with pytest.raises(ValidationError, match="name api_key_env or api_key_block"):
        policy_at(ModelServer(), api_key_env="KEY", api_key_block="key")


async def test_a_missing_key_is_told_by_the_name_of_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVED_KEY", raising=False)
    server = ModelServer()
    config = policy_at(server, api_key_env="SERVED_KEY").model_dump(mode="json")
    with pytest.raises(EngineUnavailable, match="the environment variable SERVED_KEY holds no key: set it"):
        await evaluate(recipe_of(recipe(tmp_path, server), policy=config), tmp_path / "store")


def test_what_goes_on_from_steps_is_refused_over_chat_with_the_reason(tmp_path: Path) -> None:
    server = ModelServer()
    config = policy_at(server, tokenizer=None).model_dump(mode="json")
    prm, dvts = {"engine": "fake"}, [{"method": "dvts", "n": 4}]
    with pytest.raises(ValidationError, match=r"dvts-n4-m4 goes on from steps.*asked by chat.*name its `tokenizer`"):
        recipe_of(recipe(tmp_path, server), policy=config, prm=prm, methods=dvts)
    trained = {key: value for key, value in recipe(tmp_path, server).items() if key not in ("methods", "budgets")}
    with pytest.raises(ValidationError, match="labelling goes on from steps"):
        PrmTrainRecipe.model_validate(
            trained | {"policy": config, "training": {"base": {"model": "zoo/abacus-5m"}, "family": "qwen"}}
        )
