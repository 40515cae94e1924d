"""Recipes: what is accepted, and what a mistake is told."""

from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

from overthink.tasks.analysis.selectors import SELECTORS, signal_of
from overthink.tasks.analysis.signals import OF_TESTS
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.loading import KINDS, find_recipe, read_recipe, read_recipe_of, shipped_recipes
from overthink.tasks.recipes.methods import BestOfN, Cot
from overthink.tasks.recipes.recipe import AnyRecipe, Recipe
from overthink.tasks.recipes.search_methods import Dvts

BASE: dict[str, Any] = {
    "name": "trial",
    "problems": {"source": "chains", "count": 3},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "cot"}, {"method": "best_of_n", "n": 8}],
    "budgets": [1, 4, 8],
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return written(tmp_path, BASE)


def written(folder: Path, value: Any) -> Path:
    path = folder / "trial.yaml"
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value), encoding="utf-8")
    return path


def complaint(path: Path, *changes: str) -> str:
    with pytest.raises(UserError) as caught:
        read_recipe(path, changes)
    message = str(caught.value)
    assert message.count("\n") == 0, "one message, one line"
    return message


@pytest.mark.parametrize("name", ["demo", "math500", "smoke"])
def test_shipped_recipes_parse(name: str) -> None:
    assert read_recipe(find_recipe(name)).name


def test_all_shipped_recipes_parse() -> None:
    for path in shipped_recipes().values():
        kind = next(kind for kind in KINDS if kind.own_key in yaml.safe_load(path.read_text(encoding="utf-8")))
        assert read_recipe_of(kind, path)


@pytest.mark.parametrize(("kind", "other"), list(permutations(KINDS, 2)))
def test_a_recipe_of_another_command_is_told_which(kind: type[AnyRecipe], other: type[AnyRecipe]) -> None:
    path = next(
        path for path in shipped_recipes().values() if f"\n{other.own_key}:" in path.read_text(encoding="utf-8")
    )
    with pytest.raises(UserError, match=f"names {other.own_key}, so it is one of `overthink {other.command}`"):
        read_recipe_of(kind, path)


def test_a_recipe_with_a_key_too_many_is_read_as_what_it_is(base: Path) -> None:
    assert complaint(base, "solutions=1").startswith("--set solutions: unknown key: name one of name, seed, problems")


def test_an_unknown_recipe_is_told_what_there_is() -> None:
    with pytest.raises(UserError, match=r"no recipe 'nonsense'.*smoke"):
        find_recipe("nonsense")


def test_a_recipe_is_found_by_its_path(base: Path) -> None:
    assert find_recipe(str(base)) == base


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ("sead=1", "sead", "unknown key"),
        ("sampling.temprature=1", "sampling.temprature", "unknown key"),
        ("seed=many", "seed", "whole number"),
        ("seed=-1", "seed", "at least 0"),
        ("sampling.temperature=hot", "sampling.temperature", "number"),
        ("sampling.top_p=0", "sampling.top_p", "more than 0"),
        ("name=Big Name", "name", "small letters"),
        ("budgets=[]", "budgets", "at least 1"),
        ("budgets=[0]", "budgets.0", "at least 1"),
        ("methods=[]", "methods", "at least 1"),
        ("selectors=[best]", "selectors.0", "name one of majority"),
        ("problems.source=disk", "problems.source", "chains, specs, file, hub"),
        ("policy.engine=gpt", "policy.engine", "vllm, openai, fake, scripted"),
        ("seed=yes", "seed", "whole number"),
        ("shard_size=2.5", "shard_size", "whole number"),
        ("selectors=[oracle, oracle]", "selectors", "twice"),
        ("methods.0.method=beam", "methods.0.method", "did you mean beam_search?"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_whose_it_is(
    base: Path, tmp_path: Path, change: str, place: str, reason: str
) -> None:
    message = complaint(base, change)
    assert message.startswith(f"--set {place}: ")
    assert reason in message
    assert complaint(in_the_file(tmp_path, change)) == message.replace("--set ", f"{base}: ")


def in_the_file(folder: Path, change: str) -> Path:
    """The recipe with a change of `--set` written into its file."""
    value: Any = deepcopy(BASE)
    key, _, text = change.partition("=")
    *parents, last = key.split(".")
    place = value
    for parent in parents:
        place = place[int(parent)] if parent.isdecimal() else place.setdefault(parent, {})
    place[int(last) if last.isdecimal() else last] = yaml.safe_load(text)
    return written(folder, value)


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ("problems.cuont=5", "problems.cuont", "unknown key"),
        ("problems.count=many", "problems.count", "whole number"),
        ("policy.stebs=5", "policy.stebs", "unknown key"),
        ("prm.latency_ms=-1", "prm.latency_ms", "at least 0"),
        ("methods.1.n=0", "methods.1.n", "at least 1"),
        ("methods.0.n=4", "methods.0.n", "unknown key"),
    ],
)
def test_a_mistake_inside_a_union_is_told_with_a_key_that_can_be_set(
    base: Path, change: str, place: str, reason: str
) -> None:
    message = complaint(base, change)
    assert message.startswith(f"--set {place}: ")
    assert reason in message


@pytest.mark.parametrize("key", ["name", "problems", "policy", "methods", "budgets"])
def test_a_missing_key_is_told(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, {name: value for name, value in BASE.items() if name != key})
    assert complaint(path) == f"{path}: {key}: is missing: add it"


def test_several_mistakes_are_one_message(base: Path) -> None:
    message = complaint(base, "sead=1", "seed=many")
    assert ("sead" in message, "seed: " in message) == (True, True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["budgets=[16]"], "budget 16 is more than the 8 rollouts"),
        (["prm=null", "selectors=[majority, prm_last_max]"], "selector prm_last_max needs step scores: name a `prm`"),
        (["selectors=[codet]"], "selector codet needs results of generated tests, which programs have whose problems "),
        (["selectors=[behaviour_vote]"], "selector behaviour_vote needs results on inputs, which programs have whose "),
        (["selectors=[self_certainty_borda]"], "selector self_certainty_borda needs self-certainty: it takes log-"),
        (
            ["policy={engine: openai, model: x, endpoints: [http://h/v1]}", "selectors=[shortest, logprob_mean_vote]"],
            "selector logprob_mean_vote needs logprob_mean, but an `openai` policy without `tokenizer` shows no tokens",
        ),
        (
            ["sampling.confidence=false", "selectors=[majority, deepconf_tail_vote]"],
            "selector deepconf_tail_vote needs confidence_tail, and `sampling.confidence: false` keeps none",
        ),
        (
            ["sampling.confidence=false", "methods=[{method: deepconf, n: 32}]"],
            "deepconf-n32 reads confidence: leave out `sampling.confidence: false`",
        ),
        (
            ["policy={engine: openai, model: x, endpoints: [http://h/v1]}", "methods=[{method: deepconf, n: 32}]"],
            "deepconf-n32 goes on from steps, but an `openai` policy without `tokenizer` is asked by chat",
        ),
        (
            ["sampling.confidence=false", "methods=[{method: dvts, n: 8, value: confidence}]"],
            "dvts-n8-m4-confidence reads confidence: leave out `sampling.confidence: false`",
        ),
        (["selectors=most"], "selectors: a list is wanted, not 'most': write [most]; or 'most' is not all: write all"),
        (["methods=[{method: cot}, {method: cot}]"], "a method is listed twice"),
        (["methods=[{method: best_of_n, n: 8}, {method: best_of_n, n: 8}]"], "a method is listed twice"),
        (["policy={engine: vllm, model: x, placement: {gpus: [0, 1], tensor_parallel: 4}}"], "lists 2 GPUs"),
        (["policy={engine: vllm, model: x, placement: {gpus: [0, 0], data_parallel: 2}}"], "lists a GPU twice"),
        (["problems.shortest=5", "problems.longest=4"], "shortest = 5 is more than longest = 4"),
    ],
)
def test_what_does_not_fit_together_is_refused(base: Path, changes: list[str], reason: str) -> None:
    message = complaint(base, *changes)
    assert message.startswith((f"{base} with --set ", "--set "))
    assert reason in message


def test_the_right_number_of_gpus_is_accepted(base: Path) -> None:
    placement = "{gpus: [0, 1, 2, 3], tensor_parallel: 2, data_parallel: 2}"
    assert read_recipe(base, [f"policy={{engine: vllm, model: x, placement: {placement}}}"])


def test_methods_that_differ_in_n_are_two(base: Path) -> None:
    assert read_recipe(base, ["methods=[{method: best_of_n, n: 4}, {method: best_of_n, n: 8}]"])


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: b: c",
        "\tname: x",
        "name: !!python/object/apply:os.getcwd []",
        "? [a]\n: 1",
        "name: 2024-13-45",
        "a: \x00",
    ],
)
def test_bad_yaml_is_told_with_the_file(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    assert complaint(path).startswith(f"{path}: cannot be read as YAML: ")


def test_a_yaml_tag_runs_no_code(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = written(tmp_path, f"name: !!python/object/apply:os.mkdir ['{mark}']")
    complaint(path)
    complaint(written(tmp_path, BASE), f"name=!!python/object/apply:os.mkdir ['{mark}']")
    assert not mark.exists()


@pytest.mark.parametrize("text", ["- a\n- b", "just text", "", "7"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    assert complaint(path).startswith(f"{path}: a recipe is a mapping")


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trial.yaml"
    assert complaint(path) == f"there is no file {path}: mend its path"
    path.write_bytes(b"name: \xff\xfe")
    assert complaint(path).startswith(f"{path}: ")


def test_changes_are_applied_in_order_at_any_depth(base: Path) -> None:
    changes = ["seed=5", "problems.count=20", "methods.1.n=16", "sampling.temperature=1.0", "seed=6", "budgets.2=16"]
    recipe = read_recipe(base, changes)
    assert (recipe.seed, recipe.problems.count, recipe.methods[1].n) == (6, 20, 16)  # type: ignore[union-attr]
    assert (recipe.sampling.temperature, recipe.budgets) == (1.0, (1, 4, 16))


def test_a_change_may_hold_an_equals_sign_and_a_list(base: Path) -> None:
    recipe = read_recipe(base, ["sampling.step_delimiter='=='", "selectors=[majority, oracle]"])
    assert (recipe.sampling.step_delimiter, recipe.selectors) == ("==", ("majority", "oracle"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("problems.count", "--set takes KEY=VALUE, not 'problems.count'"),
        ("methods.5.n=4", "there is no '5'"),
        ("methods.-1.n=4", "there is no '-1'"),
        ("budgets.3=4", "there is no '3'"),
        ("budgets.first=4", "there is no 'first'"),
        ("name.first=x", "'name' holds a plain value"),
        ("name.first.second=x", "there is no 'first'"),
        ("seed=[1", "'[1' is no YAML value"),
        ("name=2024-13-45", "'2024-13-45' is no YAML value"),
    ],
)
def test_a_bad_change_is_told(base: Path, change: str, reason: str) -> None:
    message = complaint(base, change)
    assert message.startswith("--set ")
    assert reason in message


def test_a_change_leaves_the_file_alone(base: Path) -> None:
    before = base.read_bytes()
    read_recipe(base, ["seed=9"])
    assert base.read_bytes() == before


def test_a_methods_budgets_are_those_it_can_answer_and_its_own_n() -> None:
    recipe = Recipe.model_validate(BASE | {"budgets": [4, 1, 4]})
    assert recipe.budgets_of(Cot(method="cot")) == (1,)
    assert recipe.budgets_of(BestOfN(method="best_of_n", n=8)) == (1, 4, 8)


def test_without_a_prm_the_selectors_are_those_that_need_none() -> None:
    assert Recipe.model_validate(BASE | {"prm": None}).chosen_selectors() == ("majority", "oracle")


def test_programs_are_chosen_by_tests_too() -> None:
    by_tests = ("tests_max", "tests_vote", "behaviour_vote", "codet")
    chosen = Recipe.model_validate(BASE | {"prm": None, "domain": "code"}).chosen_selectors()
    assert chosen == ("majority", *by_tests, "oracle")


def test_all_are_those_that_the_engines_allow() -> None:
    def chosen(**changes: Any) -> set[str]:
        return set(Recipe.model_validate(BASE | {"selectors": "all"} | changes).chosen_selectors())

    of_tests = {name for name in SELECTORS if signal_of(name) in OF_TESTS}
    without_prm = {name for name in SELECTORS if not name.startswith(("prm_", "self_certainty_"))} - of_tests
    by_chat = {"policy": {"engine": "openai", "model": "x", "endpoints": ["http://h/v1"]}, "prm": None}
    assert chosen() == {name for name in SELECTORS if not name.startswith("self_certainty_")} - of_tests
    assert chosen(prm=None) == without_prm
    unsure = {name for name in without_prm if not name.startswith("deepconf_")}
    assert chosen(prm=None, sampling={"confidence": False}) == unsure
    assert chosen(**by_chat) == {"majority", "shortest", "shortest_vote", "oracle"}


def test_with_a_prm_all_selectors_are_chosen_unless_listed() -> None:
    assert len(Recipe.model_validate(BASE).chosen_selectors()) == 10
    assert Recipe.model_validate(BASE | {"selectors": ["oracle"]}).chosen_selectors() == ("oracle",)


# Searches: parameters, names, and what they need.

METHOD_IDS = {
    "cot": "{method: cot}",
    "best_of_n-n16": "{method: best_of_n, n: 16}",
    "deepconf-n16-warm_up8": "{method: deepconf, n: 16, warm_up: 8, keep: 90, chunk: 256}",
    "deepconf-n16-warm_up8-keep10-consensus0.95-wave4": (
        "{method: deepconf, n: 16, warm_up: 8, keep: 10, consensus: 0.95, wave: 4}"
    ),
    "adaptive-n16": "{method: adaptive, n: 16, wave: 4, threshold: 0.95}",
    "adaptive-n16-wave8-threshold0.9": "{method: adaptive, n: 16, wave: 8, threshold: 0.9}",
    "adaptive-n16-bayes_factor": "{method: adaptive, n: 16, rule: bayes_factor, factor: 100}",
    "adaptive-n16-bayes_factor-factor30": "{method: adaptive, n: 16, rule: bayes_factor, factor: 30}",
    "beam_search-n16-m4": "{method: beam_search, n: 16}",
    "beam_search-n16-m8": "{method: beam_search, n: 16, beam_width: 8}",
    "beam_search-n16-m4-hf": "{method: beam_search, n: 16, variant: hf}",
    "beam_search-n16-m4-lookahead1": "{method: beam_search, n: 16, lookahead: 1}",
    "beam_search-n16-m2-max_depth10-step_tokens64-hf-lookahead3": (
        "{method: beam_search, n: 16, beam_width: 2, max_depth: 10, step_tokens: 64, variant: hf, lookahead: 3}"
    ),
    "dvts-n16-m4": "{method: dvts, n: 16, return: best}",
    "dvts-n16-m4-siblings": "{method: dvts, n: 16, return: siblings}",
    "rebase-n16": "{method: rebase, n: 16, balance: 0.1}",
    "rebase-n16-balance0.2": "{method: rebase, n: 16}",
    "rebase-n16-balance0.5": "{method: rebase, n: 16, balance: 0.5}",
    "particle_filtering-n16": "{method: particle_filtering, n: 16}",
    "particle_filtering-n16-iterations4-resampling_temperature0.5": (
        "{method: particle_filtering, n: 16, iterations: 4, resampling_temperature: 0.5}"
    ),
    "particle_filtering-n16-entropic": "{method: particle_filtering, n: 16, tempering: entropic}",
    "dvts-n16-m4-granularity3": "{method: dvts, n: 16, granularity: 3}",
    "mcts-n16-m4": "{method: mcts, n: 16}",
    "self_refine-n16": "{method: self_refine, n: 16, rounds: 2}",
    "self_refine-n16-rounds4-critique5dd177-revisee7aff3": (
        "{method: self_refine, n: 16, rounds: 4, critique: Is it right, revise: Again.}"
    ),
    "self_verify-n16": "{method: self_verify, n: 16}",
    "sequential_revisions-n16-revisions4": "{method: sequential_revisions, n: 16, revisions: 4, return: last}",
    "sequential_revisions-n16-revisions1-seen2-vote": (
        "{method: sequential_revisions, n: 16, revisions: 1, seen: 2, return: vote}"
    ),
    "mcts-n16-m4-uct-exploration2": "{method: mcts, n: 16, rule: uct, exploration: 2}",
}


@pytest.mark.parametrize("method_id", METHOD_IDS)
def test_a_method_id_names_all_that_is_not_the_default(base: Path, method_id: str) -> None:
    recipe = read_recipe(base, [f"methods=[{METHOD_IDS[method_id]}]", "budgets=[1]"])
    assert recipe.methods[0].method_id == method_id
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_all_methods_fit_into_one_recipe(base: Path) -> None:
    recipe = read_recipe(base, [f"methods=[{', '.join(METHOD_IDS.values())}]"])
    assert [method.method_id for method in recipe.methods] == [*METHOD_IDS]


@pytest.mark.parametrize(
    ("method", "place", "reason"),
    [
        ("{method: beam_search}", ".n", "is missing: add it"),
        ("{method: beam_search, n: 8, beam_width: 0}", ".beam_width", "at least 1"),
        ("{method: beam_search, n: 8, variant: snell}", ".variant", "name one of paper, hf"),
        ("{method: beam_search, n: 8, lookahead: -1}", ".lookahead", "at least 0"),
        ("{method: beam_search, n: 8, max_depth: 0}", ".max_depth", "at least 1"),
        ("{method: beam_search, n: 8, step_tokens: 0}", ".step_tokens", "at least 1"),
        ("{method: dvts, n: 8, return: all}", ".return", "name one of best, siblings"),
        ("{method: rebase, n: 8, balance: 0}", ".balance", "more than 0"),
        ("{method: particle_filtering, n: 8, resampling_temperature: 0}", ".resampling_temperature", "more than 0"),
        (
            "{method: particle_filtering, n: 8, tempering: entropic, resampling_temperature: 2}",
            *("", "resampling_temperature does nothing where tempering is entropic"),
        ),
        ("{method: dvts, n: 8, granularity: 0}", ".granularity", "at least 1"),
        ("{method: self_refine, n: 8, rounds: 0}", ".rounds", "at least 1"),
        (
            "{method: self_verify, n: 8, check: Is it so}",
            "",
            "check 'Is it so' asks about no answer: put {answer} where it shall stand",
        ),
        ("{method: sequential_revisions, n: 8}", ".revisions", "is missing: add it"),
        ("{method: sequential_revisions, n: 8, revisions: 2, return: best}", ".return", "name one of last, vote, all"),
        ("{method: mcts, n: 8, exploration: -1}", ".exploration", "at least 0"),
        ("{method: mcts, n: 8, rule: thompson}", ".rule", "name one of uct, puct"),
        ("{method: deepconf, n: 16}", "", "n = 16 are no more than the 16 of warm_up"),
        ("{method: deepconf, n: 32, wave: 4}", "", "wave does nothing without consensus"),
        ("{method: deepconf, n: 32, keep: 0}", ".keep", "at least 1"),
        ("{method: dvts, n: 8, value: confidence, lookahead: 1}", "", "lookahead looks at a later step's score"),
        ("{method: adaptive, n: 8, wave: 0}", ".wave", "at least 1"),
        ("{method: adaptive, n: 8, threshold: 0.5}", ".threshold", "more than 0.5"),
        ("{method: adaptive, n: 8, threshold: 1}", ".threshold", "less than 1"),
        ("{method: adaptive, n: 8, rule: bayes}", ".rule", "did you mean bayes_factor?"),
        ("{method: adaptive, n: 8, rule: bayes_factor, factor: 1}", ".factor", "more than 1"),
        ("{method: adaptive, n: 8, factor: 30}", "", "factor does nothing where rule is certainty"),
        ("{method: adaptive, n: 8, rule: bayes_factor, threshold: 0.9}", "", "threshold does nothing where rule is"),
        ("{method: beam_search, n: 8, beam_widht: 4}", ".beam_widht", "unknown key"),
        ("{method: rebase, n: 8, beam_width: 4}", ".beam_width", "unknown key"),
        ("{method: particle_filtering, n: 8, lookahead: 1}", ".lookahead", "unknown key"),
        ("{method: best_of_n, n: 8, max_depth: 4}", ".max_depth", "unknown key"),
    ],
)
def test_a_mistake_in_a_method_is_told_with_the_key_and_the_reason(
    base: Path, method: str, place: str, reason: str
) -> None:
    message = complaint(base, f"methods=[{method}]")
    assert message.startswith(f"--set methods.0{place}: ")
    assert reason in message


INDIVISIBLE = {
    "{method: beam_search, n: 10}": "n = 10 is not a multiple of beam_width = 4",
    "{method: dvts, n: 2}": "n = 2 is not a multiple of beam_width = 4",
    "{method: sequential_revisions, n: 8, revisions: 3}": "n = 8 is not a multiple of revisions = 3",
    "{method: mcts, n: 8, beam_width: 3}": "n = 8 is not a multiple of beam_width = 3",
    "{method: particle_filtering, n: 8, iterations: 3}": "n = 8 is not a multiple of iterations = 3",
}


@pytest.mark.parametrize("method", INDIVISIBLE)
def test_a_budget_that_cannot_be_divided_is_refused_with_the_numbers(base: Path, method: str) -> None:
    message = complaint(base, f"methods=[{method}]")
    assert message.startswith("--set methods.0")
    assert INDIVISIBLE[method] in message


@pytest.mark.parametrize("method", INDIVISIBLE)
def test_a_budget_that_cannot_be_divided_is_told_with_a_key_that_can_be_set(base: Path, method: str) -> None:
    message = complaint(base, f"methods=[{{method: cot}}, {method}]")
    assert message == f"--set methods.1: {INDIVISIBLE[method]}"


def test_one_mistake_is_one_complaint(base: Path) -> None:
    message = complaint(base, "methods=[{method: rebase, n: 8, beam_width: 4}]")
    known = "n, max_depth, step_tokens, path_tokens, value, granularity, method, balance"
    assert message == f"--set methods.0.beam_width: unknown key: name one of {known}"


def test_what_dvts_returns_is_set_by_the_key_return(base: Path) -> None:
    (method,) = read_recipe(base, ["methods=[{method: dvts, n: 8}]", "methods.0.return=siblings"]).methods
    assert isinstance(method, Dvts)
    assert method.returned == "siblings"
    assert method.model_dump()["return"] == "siblings"


@pytest.mark.parametrize("method_id", [name for name in METHOD_IDS if name.split("-")[0] not in ("cot", "best_of_n")])
def test_only_a_search_without_a_prm_is_refused_with_the_remedy(base: Path, method_id: str) -> None:
    changes = ["prm=null", f"methods=[{{method: cot}}, {METHOD_IDS[method_id]}]"]
    if method_id.startswith(("adaptive", "deepconf", "self_", "sequential")):
        assert read_recipe(base, changes).chosen_selectors() == ("majority", "oracle")
    else:
        told = f"{base} with --set prm --set methods: {method_id} needs step scores: name a `prm`"
        assert complaint(base, *changes) == told


@pytest.mark.parametrize("method_id", [name for name in METHOD_IDS if name.split("-")[0] not in ("cot", "best_of_n")])
def test_rollouts_that_only_count_together_answer_their_own_n(base: Path, method_id: str) -> None:
    recipe = read_recipe(base, [f"methods=[{METHOD_IDS[method_id]}]", "budgets=[1, 4, 16]"])
    assert recipe.budgets_of(recipe.methods[0]) == (16,)


def test_a_default_written_out_makes_no_second_method(base: Path) -> None:
    message = complaint(base, "methods=[{method: mcts, n: 8}, {method: mcts, n: 8, beam_width: 4, rule: puct}]")
    assert "a method is listed twice with the same parameters" in message
