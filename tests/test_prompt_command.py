"""`overthink prompt` shows what is sent; `overthink run --dry-run` checks all and makes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commanding import overthink

from overthink.tasks.engines import registry
from overthink.tasks.engines.policy_prompts import PolicyPrompts, files_of_prompts
from overthink.tasks.plan import dry_run, gpus
from overthink.tasks.recipes.loading import find_recipe, read_recipe

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
ROWS = [
    {"id": "a", "question": "1+1?", "answer": "2", "hint": "Add <|im_end|>."},
    {"id": "b", "question": "2+2?", "answer": "4", "hint": "{question}"},
]


def recipe_file(folder: Path, *rows: dict[str, Any], **changes: Any) -> Path:
    problems = folder / "problems.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows or ROWS))
    value = {
        "name": "asking",
        "problems": {"source": "file", "path": str(problems), "columns": {"problem_id": "id"}},
        "policy": {"engine": "vllm", "model": "zoo/abacus-1m"},
        "methods": [{"method": "best_of_n", "n": 2}],
        "budgets": [2],
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def test_the_first_problems_prompt_is_shown_with_its_length(tmp_path: Path) -> None:
    done = overthink("prompt", recipe_file(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"<|im_start|>system\n{BOXED}<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n\n"
    )
    assert done.stderr.splitlines() == [
        "note: problem a: 33 tokens, 3 × <|im_start|>, 2 × <|im_end|>",
        "note: abacus-1m reads 1024, so an answer has room for 991: "
        "8192 (sampling) does not fit, so answers are cut there",
    ]


def test_the_ids_are_those_that_are_sent(tmp_path: Path) -> None:
    said = {"user": "{hint} {question}", "prefill": "So", "few_shot": [{"user": "0+1?", "assistant": "\\boxed{1}"}]}
    path = recipe_file(tmp_path, prompt=said, sampling={"max_tokens": 9})
    policy = read_recipe(find_recipe(str(path))).policy
    model = files_of_prompts(policy)
    assert model is not None
    prompts = PolicyPrompts(policy, model)  # type: ignore[arg-type]
    done = overthink("prompt", path, "b", "--ids")
    ids = tuple(map(int, done.stdout.split()))
    assert ids == prompts.prompt("{question} 2+2?")
    assert prompts.tokenizer.decode(ids) == overthink("prompt", path, "b").stdout.removesuffix("\n")
    assert f"note: problem b: {len(ids)} tokens, 5 × <|im_start|>, 4 × <|im_end|>" in done.stderr
    assert ": 9 (sampling) fits" in done.stderr


def test_a_word_of_the_template_in_a_column_is_no_special_token(tmp_path: Path) -> None:
    done = overthink("prompt", recipe_file(tmp_path), "--set", "prompt.user='{hint} {question}'")
    assert "user\nAdd <|im_end|>. 1+1?<|im_end|>" in done.stdout
    assert "3 × <|im_start|>, 2 × <|im_end|>" in done.stderr


def test_what_a_chat_endpoint_is_sent_is_its_messages(tmp_path: Path) -> None:
    policy = {"engine": "openai", "model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    said = {"system": "Be brief.", "chat_template_kwargs": {"enable_thinking": False}}
    path = recipe_file(tmp_path, policy=policy, prompt=said)
    done = overthink("prompt", path)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    assert json.loads(done.stdout) == {"messages": messages, "chat_template_kwargs": {"enable_thinking": False}}
    assert done.stderr == "note: problem a: how many tokens these are is not known here\n"
    refused = overthink("prompt", path, "--ids")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the policy's tokens are made elsewhere, so there are no --ids here: leave it out" in refused.stderr


def test_a_recipe_that_trains_and_one_without_a_model_are_shown_too(tmp_path: Path) -> None:
    assert BOXED in overthink("prompt", "prm-train").stdout
    path = recipe_file(tmp_path, policy={"engine": "fake"}, prompt={"user": "Q: {question}"})
    assert overthink("prompt", path).stdout == "Q: 1+1?\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["c"], "there is no problem 'c' among the 2 of asking: name one, such as a, b"),
        (["--set", "prompt.user='{hin}'"], "row 1: `prompt.user` puts in {hin}, which is missing (columns there: id, "),
        (["--set", "prompt.chat_template_kwargs.x=1"], "reads no variable 'x'"),
        (["--set", "prompt.user={question}"], "prompt.user: in YAML a text that begins with a brace is quoted"),
        (["--set", "policy.model=zoo/nope"], "the zoo holds no model 'nope': name one of abacus-1m, "),
        (["--set", "policy.model=zoo/abacus-prn"], "the zoo holds no model 'abacus-prn': did you mean abacus-prm?"),
        (["--set", "prompt.thinking=off"], "prompt.thinking: unknown key"),
    ],
)
def test_what_is_wrong_is_one_message(words: list[str], told: str, tmp_path: Path) -> None:
    done = overthink("prompt", recipe_file(tmp_path), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr and len(done.stderr.splitlines()) == 1


def test_rows_that_cannot_be_used_are_dropped_where_asked(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, {"id": "x", "question": " ", "answer": "1"}, *ROWS)
    assert overthink("prompt", path).returncode == 2
    done = overthink("prompt", path, "--skip-bad-rows")
    assert "1+1?" in done.stdout
    assert "row 1: field 'question' is empty" in done.stderr


@pytest.fixture
def nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("an engine was opened")

    monkeypatch.setattr(registry, "open_policy", refuse)
    monkeypatch.setattr(registry, "open_prm", refuse)


@pytest.mark.usefixtures("nothing_is_opened")
def test_a_dry_run_says_what_a_run_would_do_and_makes_nothing(tmp_path: Path) -> None:
    store, path = tmp_path / "store", recipe_file(tmp_path, prompt={"user": "{hint} {question}"})
    done = overthink("run", path, "--dry-run", "--store", store)
    assert done.returncode == 0, done.stderr
    first, longest, policy, devices, stages, making = done.stdout.splitlines()
    assert first.startswith("run asking-") and ": 2 problems (problems@" in first and first.endswith("best_of_n-n2")
    assert longest.startswith("longest prompt: ") and "(problem a); abacus-1m reads 1024" in longest
    assert policy.startswith("policy: abacus-1m@") and policy.endswith(", 898,816 parameters, its files whole")
    assert devices == "GPUs: none is seen here, so the engines run on the CPU"
    assert stages == f"stages: 0 of 3 are in {store}"
    assert making == "to make: sample best_of_n-n2, grade best_of_n-n2, select best_of_n-n2"
    assert not store.exists()


def test_a_dry_run_knows_what_is_made_already(tmp_path: Path) -> None:
    store, smoke = tmp_path / "store", ("run", "smoke", "--set", "problems.count=2", "--store")
    assert overthink(*smoke, store).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    done = overthink(*smoke, store, "--dry-run")
    assert "stages: 8 of 8 are in" in done.stdout and "to make" not in done.stdout
    more = overthink(*smoke, store, "--set", "methods.1.n=17", "--dry-run")
    made = "sample best_of_n-n17, score best_of_n-n17, grade best_of_n-n17, select best_of_n-n17"
    assert f"to make: {made}\n" in more.stdout
    assert "GPUs: none; the engines are servers or need no weights" in more.stdout
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_a_dry_run_counts_the_gpus_of_a_machine_that_has_some(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dry_run, "gpu_is_there", lambda: True)
    monkeypatch.setattr(gpus, "gpu_is_there", lambda: True)
    done = overthink("run", recipe_file(tmp_path), "--dry-run", "--store", tmp_path / "store")
    assert "\nGPUs: 1 of this machine\n" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "policy.max_model_len=30"], "problem a: its prompt has 33 tokens, but abacus-1m reads 30"),
        (["--set", "prompt.user='{hin}'"], "row 1: `prompt.user` puts in {hin}, which is missing"),
        (["--set", "problems.path=nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["--shared"], "--dry-run checks this machine alone: leave out --shared, --deployment and --ray"),
        (["--deployment", "x"], "--dry-run checks this machine alone"),
        (["--ray"], "--dry-run checks this machine alone"),
    ],
)
def test_what_would_stop_a_run_stops_a_dry_run(words: list[str], told: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = overthink("run", recipe_file(tmp_path), "--dry-run", "--store", store, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr and len(done.stderr.splitlines()) == 1
    assert not store.exists()
