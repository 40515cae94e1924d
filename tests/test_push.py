"""Runs as data sets: what is in the folder and what is not, the card, and the hub asked over HTTP."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from commanding import overthink
from conftest import recipe_of
from hub_server import TOKEN, Hub, hub_on_loopback
from search_runs import base

from overthink.flows.evaluate import evaluate
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.reporting.publishing.data_set_folder import PUBLIC_TABLES
from overthink.tasks.reporting.publishing.public_recipe import public_recipe

METHODS = [{"method": "cot"}, {"method": "best_of_n", "n": 4}, {"method": "beam_search", "n": 4}]
SECRET = "/home/somebody/secret"


def write_store(folder: Path) -> None:
    store = Store(folder / "store")
    recipe = recipe_of(base(folder), name="shown", methods=METHODS, budgets=[1, 4])
    run_id = asyncio.run(evaluate(recipe, store.root))
    run = store.find_run(run_id)
    policy = {"engine": "openai", "model": f"{SECRET}/models/small", "endpoints": ["http://10.1.2.3:8000/v1"]}
    policy |= {"api_key_env": "SECRET_KEY", "tokenizer": "~/secret/tokens"}
    changed = dict(run.recipe) | {"policy": policy, "problems": {"source": "file", "path": f"{SECRET}/sums.jsonl"}}
    store.write_run(replace(run, recipe=changed, policy=f"{SECRET}/models/small", prm=f"{SECRET}/judge@0a1b2c3d"))
    store.write_run(replace(run, run_id="begun-0000", name="begun", status="running"))


@pytest.fixture(scope="module")
def store(prefect_server: str, made_once: Any) -> Store:
    """A finished run of fakes, whose manifest names paths and addresses, and one that is not finished."""
    return Store(made_once("pushed", write_store) / "store")


@pytest.fixture(scope="module")
def written(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("push") / "data_set"
    done = overthink("push", "shown", "me/shown", "--to", folder, "--store", store.root)
    assert (done.returncode, done.stderr) == (0, "")
    rows = sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
    tables = len([*folder.glob("*.parquet")])
    assert done.stdout == f"{folder}: {tables} tables, {rows} rows, of run {store.find_run('shown').run_id}\n"
    return folder


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    head, body = (folder / "README.md").read_text(encoding="utf-8").removeprefix("---\n").split("---\n", 1)
    return yaml.safe_load(head), body


def test_the_tables_are_those_of_the_run(store: Store, written: Path) -> None:
    names = {path.stem for path in written.glob("*.parquet")}
    assert names == {"problems", "rollouts", "steps", "scores", "verdicts", "nodes", "groups", "selections", "summary"}
    run_id = store.find_run("shown").run_id
    for name in ("rollouts", "verdicts", "selections", "summary", "nodes"):
        expected = query(store, f"SELECT * FROM {name} WHERE run_id = '{run_id}' ORDER BY {PUBLIC_TABLES[name].order}")
        found = pq.read_table(written / f"{name}.parquet")
        assert found.column_names == expected.column_names and found.num_rows == expected.num_rows > 0, name
    rollouts = pq.read_table(written / "rollouts.parquet")["rollout_id"].to_pylist()
    for name in ("steps", "scores"):
        assert set(pq.read_table(written / f"{name}.parquet")["rollout_id"].to_pylist()) <= set(rollouts)


def test_plain_readers_read_it(written: Path) -> None:
    solved = duckdb.sql(
        f"SELECT avg(correct::INT) FROM '{written}/rollouts.parquet' JOIN '{written}/verdicts.parquet' "
        "USING (run_id, method_id, rollout_id)"
    ).fetchall()
    assert 0 <= solved[0][0] <= 1
    rollouts = pd.read_parquet(written / "rollouts.parquet")
    assert rollouts["text"].str.len().min() > 0


def test_datasets_loads_every_table_by_its_name(written: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    names = [config["config_name"] for config in card_of(written)[0]["configs"]]
    assert datasets.get_dataset_config_names(str(written)) == names
    assert datasets.get_dataset_default_config_name(str(written)) == "rollouts"
    for name in names:
        loaded = datasets.load_dataset(str(written), name, split="train", cache_dir=str(tmp_path))
        assert loaded.num_rows == pq.read_metadata(written / f"{name}.parquet").num_rows > 0


def test_the_card_says_how_good_it_is_and_how_it_was_made(store: Store, written: Path) -> None:
    head, body = card_of(written)
    run = store.find_run("shown")
    assert (head["license"], head["pretty_name"]) == ("unknown", run.run_id)
    assert "written by `small`, scored step by step by `judge@0a1b2c3d`" in body
    shown = "printf('%.1f (%.0f–%.0f)', 100 * accuracy, 100 * ci_low, 100 * ci_high) AS cell"
    exact = f"SELECT {shown} FROM summary WHERE run_id = '{run.run_id}' AND estimator = 'exact'"
    cells = query(store, exact)["cell"].to_pylist()
    assert len(cells) > 5 and all(cell in body for cell in cells)
    recipe = yaml.safe_load(re.findall(r"~~~~yaml\n(.*?)~~~~", body, flags=re.DOTALL)[0])
    assert recipe["policy"] == {"engine": "openai", "model": "small", "tokenizer": "tokens"}
    assert recipe["problems"] == {"source": "file", "path": "sums.jsonl"}
    assert [method["method"] for method in recipe["methods"]] == ["cot", "best_of_n", "beam_search"]


def test_nothing_of_the_machine_is_in_it(store: Store, written: Path) -> None:
    for path in written.iterdir():
        text = path.read_text("utf-8") if path.suffix == ".md" else str(pq.read_table(path).to_pylist())
        for secret in ("secret", "SECRET_KEY", "10.1.2.3", str(store.root), str(Path.home() / "x")[:-1]):
            assert secret not in text, (path.name, secret)


def test_what_a_recipe_says_of_places_becomes_names(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    said = {
        "policy": {"model": str(tmp_path / "models" / "mine"), "placement": {"gpus": [0]}, "lora": "adapters/best"},
        "prm": {
            "model": "Qwen/Qwen2.5-Math-PRM-7B",
            "base": "s3://bucket/base",
            "engine_args": {"download_dir": "/x/y"},
        },
        "prompt": {"system": "/no_think"},
        "methods": [{"strategy": "there/strategy.yaml", "n": 0}],
        "gate": None,
    }
    assert public_recipe(said) == {
        "policy": {"model": "mine", "lora": "best"},
        "prm": {"model": "Qwen/Qwen2.5-Math-PRM-7B", "base": "base", "engine_args": {"download_dir": "y"}},
        "prompt": {"system": "/no_think"},
        "methods": [{"strategy": "strategy.yaml", "n": 0}],
    }


def test_a_second_writing_has_the_same_bytes(store: Store, written: Path, tmp_path: Path) -> None:
    assert overthink("push", "shown", "me/shown", "--to", tmp_path / "b", "--store", store.root).returncode == 0
    assert {path.name: path.read_bytes() for path in written.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()
    }


def test_only_an_earlier_data_set_is_replaced(store: Store, written: Path, tmp_path: Path) -> None:
    words = ("push", "shown", "me/shown", "--store", store.root, "--to")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused = overthink(*words, tmp_path / "mine", "--force")
    assert (refused.returncode, refused.stderr) == (2, f"{tmp_path}/mine is there already: name another place\n")
    again = overthink(*words, written)
    assert again.returncode == 2 and again.stderr.endswith("replace what an earlier export wrote with --force\n")
    assert overthink(*words, written, "--force").returncode == 0


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on loopback that this process takes for the real one, and a token for it."""
    from huggingface_hub import constants

    with hub_on_loopback() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def pushed(store: Store, *words: object, name: str = "me/shown") -> Any:
    return overthink("push", "shown", name, "--store", store.root, *words)


def test_a_push_is_one_commit_and_a_second_one_none(store: Store, written: Path, hub: Hub) -> None:
    done = pushed(store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{hub.address}/datasets/me/shown: 9 tables, ")
    held = hub.data_sets["me/shown"]
    assert held.private
    assert held.files == {path.name: path.read_bytes() for path in written.iterdir()}
    assert held.commits == [f"Run {store.find_run('shown').run_id}"]
    assert pushed(store).returncode == 0
    assert len(held.commits) == 1, "nothing changed"


def test_a_push_that_was_cut_is_gone_on_with(store: Store, hub: Hub) -> None:
    hub.broken["/commit/"] = 409
    cut = pushed(store)
    assert (cut.returncode, cut.stderr.count("\n")) == (1, 1)
    assert cut.stderr.startswith("me/shown was written by somebody else at the same time: run the same command again")
    hub.broken.clear()
    assert pushed(store).returncode == 0
    assert "rollouts.parquet" in hub.data_sets["me/shown"].files


def test_everybody_sees_it_only_where_one_says_so(store: Store, hub: Hub) -> None:
    assert pushed(store, "--public").returncode == 0
    assert not hub.data_sets["me/shown"].private
    refused = pushed(store)
    told = "me/shown is public on the hub: say --public, or change that in its settings there\n"
    assert (refused.returncode, refused.stderr) == (2, told)


def test_another_data_set_is_replaced_only_where_one_says_so(store: Store, hub: Hub) -> None:
    assert pushed(store).returncode == 0
    held = hub.data_sets["me/shown"]
    held.files = {"README.md": b"---\npretty_name: theirs\n---\n", "theirs.csv": b"1"}
    refused = pushed(store)
    told = "me/shown holds theirs: name another, or replace it with --force\n"
    assert (refused.returncode, refused.stderr) == (2, told)
    assert pushed(store, "--force").returncode == 0
    assert "theirs.csv" not in held.files and "rollouts.parquet" in held.files


@pytest.mark.parametrize(
    ("broken", "code", "told"),
    [
        ({"whoami": 401}, 2, "the hub refuses the token: log in with `hf auth login`, or set HF_TOKEN"),
        ({"create": 403}, 2, "the token may not write me/shown: use one with the right to write data sets of me"),
        ({"create": 404}, 2, "the hub has no me/shown for this token, and no place for it"),
        ({"create": 409}, 1, "me/shown was written by somebody else at the same time: run the same command again"),
        ({"whoami": 429}, 1, "the hub answered 429: run the same command again later"),
        ({"create": 500}, 1, "the hub answered 500: run the same command again later"),
        ({"create": 400}, 2, "the hub refuses me/shown (400: made to fail with 400): check the name and --licence"),
    ],
)
def test_what_the_hub_refuses_is_one_message(
    store: Store, hub: Hub, broken: dict[str, int], code: int, told: str
) -> None:
    hub.broken.update(broken)
    done = pushed(store)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert done.stderr.startswith(told)
    assert not any(held.files for held in hub.data_sets.values())


def test_a_licence_is_on_the_card_and_one_that_there_is_not_is_told(store: Store, hub: Hub) -> None:
    wrong = pushed(store, "--licence", "mine")
    told = 'the hub refuses the card: Invalid metadata in README.md. - "license" must be one of the known ones: '
    assert (wrong.returncode, wrong.stderr) == (2, told + "check --licence\n")
    assert pushed(store, "--licence", "cc-by-4.0").returncode == 0
    assert b"\nlicense: cc-by-4.0\n" in hub.data_sets["me/shown"].files["README.md"]


def test_without_a_token_or_a_network_one_is_told_so(store: Store, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    away = pushed(store)
    assert (away.returncode, away.stderr.count("\n")) == (1, 1)
    assert away.stderr.startswith("the hub cannot be reached (ConnectError): check the network; --to DIR writes")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pushed(store).stderr.startswith("HF_HUB_OFFLINE keeps this machine off the hub: unset it; ")
    monkeypatch.delenv("HF_TOKEN")
    bare = pushed(store)
    assert (bare.returncode, bare.stderr.count("\n")) == (2, 1)
    assert bare.stderr.startswith("there is no token for the hub: log in with `hf auth login`, or set HF_TOKEN; ")


@pytest.mark.parametrize("name", ["shown", "a/b/c", "me/", "me/a b", "me/a--b", "me/x.git", "datasets/me/shown"])
def test_a_name_that_the_hub_cannot_have_is_refused_before_it_is_asked(store: Store, hub: Hub, name: str) -> None:
    done = pushed(store, name=name)
    told = f"{name!r} names no data set of the hub: write OWNER/NAME in letters, digits, '-', '_' and '.'\n"
    assert (done.returncode, done.stderr, hub.asked) == (2, told, [])


def test_only_whole_and_finished_runs_are_published(store: Store, tmp_path: Path) -> None:
    done = overthink("push", "begun", "me/begun", "--to", tmp_path / "out", "--store", store.root)
    told = "run begun-0000 is not complete: run its recipe again to finish it\n"
    assert (done.returncode, done.stderr, [*tmp_path.iterdir()]) == (2, told, [])
