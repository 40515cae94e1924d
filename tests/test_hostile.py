"""A recipe, rollouts or answers from a stranger: whatever they hold, the worst is one message."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_answer_counts import counted
from test_importers import COLUMNS, CONFIG, learned, record, row, tts_folder, write_lines
from test_recipe import BASE

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.sources import ChainsSource
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.engines.engine_config import ModelConfig, VllmPolicyConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.errors import EngineUnavailable, ProblemError, UserError
from overthink.tasks.importers.answer_counts import read_answer_counts
from overthink.tasks.importers.compute_optimal_tts import read_compute_optimal_tts
from overthink.tasks.importers.imported import ImportedSet
from overthink.tasks.importers.imported_tables import imported_tables
from overthink.tasks.importers.mapped_jsonl import read_mapped_jsonl
from overthink.tasks.importers.search_and_learn import read_search_and_learn
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe
from overthink.tasks.recipes.loading import KINDS, read_recipe, read_recipe_of
from overthink.tasks.recipes.recipe import AnyRecipe, Recipe
from overthink.tasks.recipes.safe_yaml import safe_yaml
from overthink.tasks.terminal_text import printable

FUZZ = settings(
    deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PROBLEMS = load_problems(ChainsSource(source="chains", count=2))
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**62, -1, 0, 10**400]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["../../etc/passwd", "~nobody/x", "zoo/..", "a\0b", "\ud800", "x" * 5000, "/", "{{ 7*7 }}", "$HOME"]
    ),
)
VALUES = st.recursive(
    PLAIN,
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=5), held, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, ...]]:
    """The way to everything inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, held in inside for place in ((key,), *((key, *rest) for rest in places(held)))]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    *above, last = place
    inner = copy
    for key in above:
        inner = inner[key]
    inner[last] = new
    return copy


WHOLE = BASE | {
    "seed": 0,
    "sampling": {"temperature": 0.7, "top_p": 1.0, "max_tokens": 9, "step_delimiter": "\n\n"},
    "grading": {"extraction": "boxed", "time_limit_seconds": 5.0},
    "methods": [{"method": "rebase", "n": 8, "balance": 0.1}, {"method": "adaptive", "n": 8, "threshold": 0.9}],
    "policy": {"engine": "vllm", "model": "zoo/abacus-1m", "trust_remote_code": False, "placement": {"gpus": [0]}},
    "selectors": ["majority"],
    "gate": {"selector": "majority", "against": "last"},
    "difficulty": {"easy": 0.5, "hard": 0.1},
    "shard_size": 5,
}


@FUZZ
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes_are_a_recipe_or_one_message(kind: type[AnyRecipe], content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_recipe_of(kind, path)
    assert "\n" not in str(caught.value)


@FUZZ
@given(place=st.sampled_from(places(WHOLE)), new=VALUES)
def test_any_value_at_any_key_is_taken_whole_or_refused(place: tuple[Any, ...], new: Any, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(replaced(WHOLE, place, new)), encoding="utf-8")
    try:
        recipe = read_recipe(path)
        plan = plan_evaluation(recipe, PROBLEMS)
    except UserError as error:
        assert str(error)
        return
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Path(plan.run_id).name == plan.run_id, "a run's id is one folder's name"
    assert all(Path(use.key).name == use.key for use in plan.uses())


@FUZZ
@given(
    change=st.text(max_size=30) | st.tuples(st.sampled_from(["name", "methods.0.n", "seed"]), st.text()).map("=".join)
)
def test_any_change_is_applied_or_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(BASE), encoding="utf-8")
    try:
        read_recipe(path, [change])
    except UserError as error:
        assert str(error)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 9)}]\n" for depth in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{depth}: &a{depth} {{<<: [{', '.join([f'*a{depth - 1}'] * 9)}]}}\n" for depth in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "more than 100,000 values"),
        (MERGES, "more than 100,000 values"),
        ("name: &a [*a]", "holds the alias itself"),
        ("name: &a {b: *a}", "holds the alias itself"),
        ("name: " + "[" * 100_000, "recursion"),
        ("name: x\n" * 100_000, "characters are more than"),
        ("seed: 0x" + "f" * 100_000, "a number of 400000 bits is too large"),
        ("seed: 1" + ":59" * 50_000, "too large"),
        ("seed: " + "9" * 5000, "digits"),
        ('name: "a\\0b"', "NUL"),
        ('name: "\\ud800"', "surrogate"),
        ('"\\ud800": x', "surrogate"),
        ("name: x\nseed: 0\nname: y", "the key 'name' is there twice, in lines 1 and 3: keep one"),
        ("problems:\n  count: 1\n  count: 2", "the key 'count' is there twice, in lines 2 and 3"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "the key '<<' is there twice"),
        ("name: !!python/name:os.system", "a ! that begins a value is a tag"),
        ("name: !!python/object/new:os.system [id]", "a ! that begins a value is a tag"),
    ],
    ids=lambda text: text[:24],
)
def test_a_text_made_to_blow_up_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=reason):
        read_recipe(path)


def test_a_value_that_names_a_key_twice_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(BASE), encoding="utf-8")
    with pytest.raises(UserError, match="--set problems: .*the key 'count' is there twice"):
        read_recipe(path, ["problems={source: chains, count: 2, count: 3}"])


def test_an_honest_alias_is_read() -> None:
    assert safe_yaml("a: &p {gpus: [0]}\nb: *p\nc: {<<: *p, d: 1}\n") == {
        "a": {"gpus": [0]},
        "b": {"gpus": [0]},
        "c": {"gpus": [0], "d": 1},
    }


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/x", "a\\b", ".", "..", "", "a\n", "a b", "A", "ä", "a" * 61, "-a", "%2e%2e", "a'b"]
)
def test_a_name_can_never_lead_out_of_the_store(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name"):
        Recipe.model_validate(BASE | {"name": name})
    with pytest.raises(UserError, match="--name"):
        import_recipe(
            "jsonl",
            tmp_path,
            ReadAs(["question=q", "reference=r", "text=t"]),
            name,
            GradedAs(extraction="boxed"),
            False,
        )


@pytest.mark.parametrize("model", ["zoo/..", "zoo/../recipes", "zoo/.", "zoo/", "~nobody-of-this-name/x", "x" * 5000])
def test_a_model_that_cannot_be_is_refused_without_a_traceback(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where no folder is called zoo
    with pytest.raises(EngineUnavailable):
        locate_model(ModelConfig(model=model))


@pytest.mark.parametrize("said", ["yes", 1, "true", "on", None])
def test_remote_code_runs_only_where_a_recipe_says_true(said: Any) -> None:
    assert VllmPolicyConfig(model="x").trust_remote_code is False
    assert VllmPolicyConfig(model="x", trust_remote_code=True).trust_remote_code is True
    with pytest.raises(ValueError, match="trust_remote_code"):
        VllmPolicyConfig.model_validate({"model": "x", "trust_remote_code": said})


def test_a_file_that_is_no_data_is_not_told_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text("root:x:0:0:hunter2\n", encoding="utf-8")
    for source in ({"source": "file", "path": str(secret)}, {"source": "file", "path": str(tmp_path / "secret")}):
        with pytest.raises(ProblemError) as caught:
            load_problems(Recipe.model_validate(BASE | {"problems": source}).problems)
        assert "hunter2" not in str(caught.value)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.just("\ud800"), st.just(2**40)
    ),
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=4), held, max_size=3),
    max_leaves=5,
)


def tts(folder: Path, *lines: Any) -> list[ImportedSet]:
    return read_compute_optimal_tts(tts_folder(folder, {0: list(lines)}))


def sal(folder: Path, *lines: Any) -> list[ImportedSet]:
    return [read_search_and_learn(write_lines(folder / "x.jsonl", *lines), independent=True)]


def answer_counts(folder: Path, *lines: Any) -> list[ImportedSet]:
    return [read_answer_counts(write_lines(folder / "x.jsonl", *lines))]


def mapped(folder: Path, *lines: Any) -> list[ImportedSet]:
    return [read_mapped_jsonl(write_lines(folder / "x.jsonl", *lines), COLUMNS, independent=True)]


READERS: dict[str, tuple[Callable[..., list[ImportedSet]], dict[str, Any]]] = {
    "compute-optimal-tts": (tts, record()),
    "search-and-learn": (sal, learned()),
    "answer-counts": (answer_counts, counted()),
    "jsonl": (mapped, row()),
}


def is_usable(sets: list[ImportedSet]) -> bool:
    """Whether what was read has an address and fits into our tables."""
    for each in sets:
        assert each.problem_set.name and each.content
        assert 1 <= each.n < 2**31
        assert imported_tables("import-1", each, "prm")["rollouts"].num_rows >= 0
    return True


@FUZZ
@given(data=st.data(), name=st.sampled_from(sorted(READERS)))
def test_any_value_in_a_record_is_imported_or_refused(data: st.DataObject, name: str, tmp_path: Path) -> None:
    reader, valid = READERS[name]
    line = replaced(valid, data.draw(st.sampled_from(places(valid))), data.draw(JSON))
    try:
        assert is_usable(reader(tmp_path, line))
    except UserError as error:
        assert str(error)


@FUZZ
@given(line=JSON | st.text(max_size=40).map(lambda text: text.replace("\n", "")), name=st.sampled_from(sorted(READERS)))
def test_any_line_is_imported_or_refused(line: Any, name: str, tmp_path: Path) -> None:
    reader, _ = READERS[name]
    try:
        assert is_usable(
            reader(
                tmp_path, json.dumps(line) if not isinstance(line, str) else line.encode("utf-8", "replace").decode()
            )
        )
    except UserError as error:
        assert str(error)


@FUZZ
@given(place=st.sampled_from(places(CONFIG)), new=JSON, sizes=st.sampled_from(["40_4_1", "1_99999999999_9", "x"]))
def test_any_configuration_of_a_folder_is_read_or_refused(
    place: tuple[Any, ...], new: Any, sizes: str, tmp_path: Path
) -> None:
    config = replaced(CONFIG, place, new)
    try:
        assert is_usable(read_compute_optimal_tts(tts_folder(tmp_path / sizes, {0: [record()]}, sizes, **config)))
    except UserError as error:
        assert str(error)


NASTY = {
    "factorials": "((((9!)!)!)!)!",
    "roots": "\\sqrt{" * 300 + "2" + "}" * 300,
    "matrix": "\\begin{pmatrix}" + "\\\\".join(["&".join(["x^{99}"] * 60)] * 60) + "\\end{pmatrix}",
    "long sum": "+".join(f"x^{{{power}}}" for power in range(20_000)),
    "braces": "{" * 50_000 + "}" * 50_000,
    "power of a sum": "(a+b+c+d)^{9999}",
    "digits of another script": "٣" * 1000 + "³²" * 100,
    "quotes and lines": "'\"`$(id)`; import os" + "1\n" * 1000 + "\u2028\x00\x1b[31m",
}


def test_answers_made_to_blow_up_are_cut_off_and_the_judge_goes_on() -> None:
    with MathJudge(time_limit=1) as judge:
        for name, answer in NASTY.items():
            (judged,) = judge.judge("3", [answer])
            assert judged.verdict in ("different", "unknown"), name
        assert len(set(judge.groups(list(NASTY.values())))) == len(NASTY)
        assert [judged.verdict for judged in judge.judge("1/4", ["0.25"])] == ["equal"]


def test_a_message_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\ud800\x07\nc é") == "a\\x1b[2Jb\\ud800\\x07\nc é"
