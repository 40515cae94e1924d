"""Typical mistakes: a command, and all that it answers: one plain message that names the place and the remedy."""

import shlex
from pathlib import Path

import pytest
from commanding import overthink
from storage_samples import run_named

from overthink.storage.store import Store
from overthink.tasks.closest import closest, which

RECIPE = """\
name: r
problems: {source: chains, count: 3}
policy: {engine: fake}
prm: {engine: fake}
methods: [{method: cot}, {method: best_of_n, n: 8}]
budgets: [1, 4, 8]
"""
FILES = {
    "r.yaml": RECIPE,
    "typo.yaml": RECIPE.replace("budgets", "budget"),
    "astray.yaml": RECIPE + "temperature: 0.5\n",
    "tab.yaml": "name: r\nproblems:\n\tsource: chains\n",
    "open.yaml": "name: r\nbudgets: [1, 4\n",
    "list.yaml": "- name: r\n",
    "solve.yaml": RECIPE.replace("{method: cot}", "{method: compute_optimal, strategy: night.yaml, n: 8}"),
    "rows.jsonl": '{"question": "1 + 1?", "anwser": "2"}\n',
    "null.jsonl": '{"question": "1 + 1?", "answer": null}\n',
    "file": "",
}
KEYS = (
    "name, seed, problems, domain, domain_options, prompt, policy, sampling, reasoning, grading, prm, methods, "
    "budgets, selectors, difficulty, gate, shard_size"
)
MAKE_ONE = "name one with --store, or make it with `overthink run`"
NO_PARTS = "that folder holds neither runs nor stages"
RUN = "run r.yaml --set "
# What was typed, and what it was told.
MISTAKES = {
    # the words of the command
    "rn smoke": "there is no command 'rn': did you mean run?",
    "run r.yaml --stor x": "`overthink run` has no option --stor: did you mean --store?",
    "run": "`overthink run` lacks RECIPE: see `overthink run --help`",
    "run r.yaml --workers two": "--workers: a whole number is wanted, not 'two'",
    "run r.yaml --workers 0": "--workers: 0 is too small: give at least 1",
    "sql 'SELECT 1' --format xml": "--format: 'xml' is unknown: name one of table, csv, json, parquet",
    "import jsnl rows.jsonl": "FORMAT: 'jsnl' is unknown: did you mean jsonl?",
    "estimate r.yaml --gpu h10": "--gpu: the peak of 'h10' is unknown: did you mean h100?",
    # the recipe's name and file
    "run smok": "there is no recipe 'smok': did you mean smoke?",
    "run tab.yaml": "tab.yaml: cannot be read as YAML: line 3: a tab indents it: indent with spaces",
    "run open.yaml": "open.yaml: cannot be read as YAML: line 2: a [ is not closed: end the list with ]",
    "run list.yaml": "list.yaml: a recipe is a mapping of keys to values; see `overthink recipes`",
    "sweep r.yaml": "r.yaml: this recipe names methods, so it is one of `overthink run`",
    "run typo.yaml": "typo.yaml: budgets: is missing: add it; budget: unknown key: did you mean budgets?",
    "run astray.yaml": "astray.yaml: temperature: unknown key here: it stands below sampling or prm",
    "run solve.yaml": "solve.yaml: there is no strategy night.yaml: name a file that `overthink fit` wrote",
    # --set, which is to blame for what the file itself does not have
    f"{RUN}budgets": "--set takes KEY=VALUE, not 'budgets'; for example --set problems.count=20",
    f"{RUN}'budgets=[4'": "--set budgets: '[4' is no YAML value: line 1: a [ is not closed: end the list with ]",
    f"{RUN}sead=1": "--set sead: unknown key: did you mean seed?",
    f"{RUN}zebra=1": f"--set zebra: unknown key: name one of {KEYS}",
    f"{RUN}seed=many": "--set seed: a whole number is wanted, not 'many'",
    f"{RUN}sampling.top_p=2": "--set sampling.top_p: 2 is too large: give at most 1",
    f"{RUN}budgets=4": "--set budgets: a list is wanted, not 4: write [4]",
    f"{RUN}methods=cot": "--set methods: a list of mappings is wanted, not 'cot': write [{method: cot}]",
    f"{RUN}methods.0.method=beam": "--set methods.0.method: 'beam' is unknown: did you mean beam_search?",
    f"{RUN}policy=fake": "--set policy: a mapping is wanted, not 'fake': write {engine: fake}",
    f"{RUN}policy.engine=vlm": "--set policy.engine: 'vlm' is unknown: did you mean vllm?",
    f"{RUN}problems.source=disk": (
        "--set problems.source: 'disk' is unknown: name one of chains, specs, file, hub, questions"
    ),
    f"{RUN}'problems={{count: 3}}'": (
        "--set problems.source: is missing: add one of chains, specs, file, hub, questions"
    ),
    f"{RUN}'selectors=[majorty]'": "--set selectors.0: 'majorty' is unknown: did you mean majority?",
    f"{RUN}domain=maths": "--set domain: there is no domain 'maths': did you mean math?",
    f"{RUN}'problems={{source: file, path: rows.jsonl, preset: math_500}}'": (
        "--set problems.preset: 'math_500' is unknown: did you mean math500?"
    ),
    f"{RUN}'name=Big Name'": "--set name: 'Big Name' is no such name: write it with small letters, digits, - and _",
    f"{RUN}'budgets=[99]'": ("r.yaml with --set budgets: budget 99 is more than the 8 rollouts of any method: raise n"),
    "run typo.yaml --set sead=1": (
        "typo.yaml: budgets: is missing: add it; budget: unknown key: did you mean budgets?; "
        "--set sead: unknown key: did you mean seed?"
    ),
    # data
    f"{RUN}'problems={{source: file, path: rows.jsonl}}'": (
        "r.yaml with --set problems: rows.jsonl, row 1: field 'answer' is missing "
        "(fields there: question, anwser): did you mean anwser?; mend the row, or drop such rows with --skip-bad-rows"
    ),
    f"{RUN}'problems={{source: file, path: null.jsonl}}'": (
        "r.yaml with --set problems: null.jsonl, row 1: field 'answer' is null; "
        "mend the row, or drop such rows with --skip-bad-rows"
    ),
    "import jsonl rows.jsonl --map questoin=q": (
        "--map questoin=q: there is no key 'questoin': did you mean question?"
    ),
    "import jsonl rows.jsonl --map question=question --map text=question --map reference=anwser --map options=o": (
        "--domain: math takes no options, which --map names: leave it out, or name --domain choice"
    ),
    # the store, and files to write
    "status --store nowhere": f"there is no store at nowhere: {MAKE_ONE}",
    "sql 'SELECT 1' --store file": f"file is a file, and a store is a folder: {MAKE_ONE}",
    **{
        f"{command} --store folder": f"there is no store at folder: {NO_PARTS}; {MAKE_ONE}"
        for command in ("status", "sql 'SELECT 1'", "report night", "export --parquet tables", "doctor")
    },
    "report night --html pages/night.html": (
        "cannot write pages/night.html: there is no folder pages; make it, or name a file elsewhere"
    ),
    "report night --html folder": "cannot write folder: it is a folder; name a file in it",
    "solve night.yaml 'What is 1 + 1?' --budget 4": (
        "there is no strategy night.yaml: name a file that `overthink fit` wrote"
    ),
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_has_one_plain_message_with_the_remedy(command: str, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    answer = overthink(*shlex.split(command), cwd=tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (2, "", f"{MISTAKES[command]}\n")
    assert not (tmp_path / "store").exists(), "a mistake writes nothing"


def test_there_are_thirty_of_them() -> None:
    assert len(MISTAKES) >= 30


@pytest.mark.parametrize(
    ("name", "meant"),
    [("sead", "seed"), ("Budgets", "budgets"), ("beam", "beam_search"), ("zebra", None), ("b", None), ("", None)],
)
def test_what_is_meant_is_what_is_like_it(name: str, meant: str | None) -> None:
    assert closest(name, ["seed", "budgets", "beam_search", "best_of_n"]) == meant


def test_where_nothing_is_like_it_all_are_named() -> None:
    assert which("zebra", ["seed", "budgets"]) == "name one of seed, budgets"
    assert which("zebra", []) == "there is none"


def test_an_ambiguous_name_takes_the_newest_run_and_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for day, run_id in enumerate(("night-0a1b", "night-2c3d"), 1):
        store.write_run(run_named(run_id, name="night", created_at=f"2026-11-{day:02}", status="running"))
    answer = overthink("report", "night", "--store", store.root)
    note = "note: 'night' names 2 runs: this is the newest, night-2c3d\n"
    assert answer.stderr == f"{note}run night-2c3d is interrupted: run its recipe again to finish it\n"
    assert answer.returncode == 2


def test_what_removes_a_run_wants_the_one_that_is_meant(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for run_id in ("night-0a1b", "night-2c3d"):
        store.write_run(run_named(run_id, name="night"))
    answer = overthink("gc", "--run", "night", "--store", store.root)
    told = "--run night names 2 runs: say which by its id, of night-0a1b, night-2c3d\n"
    assert (answer.returncode, answer.stderr) == (2, told)
