"""The house's rules, held by reading the code (docs/architecture.md): who may import whom, and where a thing lies."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("flows", "storage", "tasks", "zoo")
ENGINE_PACKAGES = {"vllm", "torch", "transformers"}
# From the ground up; rooms of one floor do not know each other, but for the pairs in NEIGHBOURS.
FLOORS = [
    ("tasks/closest", "tasks/counted", "tasks/json_schema", "tasks/pydantic_words", "tasks/terminal_text"),
    (
        "storage",
        "tasks/critiques",
        "tasks/records",
        "tasks/programs",
        "tasks/reasoning_marks",
        "tasks/errors",
        "tasks/child_processes",
        "tasks/determinants",
        "tasks/plugins",
        "tasks/analysis",
    ),
    ("tasks/methods", "tasks/domains", "tasks/datasets"),
    ("tasks/engines", "tasks/importers"),
    ("tasks/training",),
    ("tasks/recipes",),
    ("tasks/stages",),
    ("tasks/strategy",),
    ("tasks/plan",),
    ("tasks/reporting",),
    ("flows/orchestration",),
    ("flows",),
    ("flows/commands",),
    ("zoo",),
]
NEIGHBOURS = {
    ("tasks/pydantic_words", "tasks/closest"),
    ("tasks/analysis", "tasks/records"),
    ("tasks/records", "tasks/critiques"),
    ("tasks/analysis", "tasks/plugins"),
    ("tasks/plugins", "tasks/errors"),
    ("tasks/datasets", "tasks/domains"),
    ("tasks/domains", "tasks/methods"),
    ("tasks/importers", "tasks/engines"),
}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MOST_PARAMETERS = 6


def modules(*folders: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute, so that this test sees what they reach"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(module: str) -> set[str]:
    """Every name that a module imports, anywhere in it."""
    return {name for node in ast.walk(tree(module)) for name in names(node)}


def reaches(module: str, packages: set[str]) -> set[str]:
    return {name for name in imported(module) for package in packages if f"{name}.".startswith(f"{package}.")}


def room_of(place: str) -> str | None:
    """The room of FLOORS that a module's path, or an import written as one, lies in."""
    rooms = [room for room in FLOOR_OF if f"{place}/".startswith(f"{room}/")]
    return max(rooms, key=len, default=None)


@pytest.mark.parametrize("module", modules(*TOPS))
def test_every_module_has_a_room(module: str) -> None:
    outside = {f"{top}/__init__.py" for top in ("flows", "tasks")}
    assert module in outside or room_of(module.removesuffix(".py")) is not None


@pytest.mark.parametrize("module", modules(*TOPS))
def test_nothing_imports_upward(module: str) -> None:
    mine = room_of(module.removesuffix(".py"))
    ours = [name.removeprefix("overthink.").replace(".", "/") for name in reaches(module, {"overthink"})]
    for theirs in filter(None, map(room_of, ours)):
        if mine is not None and theirs != mine:
            is_neighbour = (mine, theirs) in NEIGHBOURS
            assert FLOOR_OF[theirs] < FLOOR_OF[mine] or is_neighbour, f"{module} imports {theirs}"


@pytest.mark.parametrize("module", modules(*TOPS))
def test_our_modules_are_imported_under_one_name(module: str) -> None:
    """A user's own `flows.py` or `tasks/` must never be taken for ours."""
    assert reaches(module, {"flows", "tasks", "storage", "zoo", "recipes"}) == set()


PURE = {*modules("tasks/methods", "tasks/analysis", "tasks/domains")}
# The judge of mathematics works in child processes that it can end; what they compute is pure.
AT_THE_EDGE = {f"tasks/domains/math/{name}.py" for name in ("bounded", "children", "judge", "worker")}


@pytest.mark.parametrize("module", sorted(PURE - AT_THE_EDGE))
def test_methods_analysis_and_domains_are_pure(module: str) -> None:
    impure = {"overthink.tasks.engines", "overthink.storage", "overthink.flows", "prefect", "asyncio", "random", "time"}
    assert reaches(module, impure) <= {"random.Random"}, "a series that the caller seeds is no hidden state"


OUTSIDE_DOMAINS = {*modules(*TOPS, "benchmarks", "overthink")} - {*modules("tasks/domains"), "benchmarks/grading.py"}


@pytest.mark.parametrize("module", sorted(OUTSIDE_DOMAINS))
def test_a_domain_is_only_known_by_its_name(module: str) -> None:
    """What reads, compares and grades answers is a `Domain`; mathematics is one of those in `known_domains`."""
    assert reaches(module, {"overthink.tasks.domains.math"}) == set()


@pytest.mark.parametrize("module", modules(*TOPS))
def test_nothing_of_prefects_that_is_private_is_used(module: str) -> None:
    private = re.compile(r"\._(?!_)")
    assert set(filter(private.search, reaches(module, {"prefect"}))) == set()


@pytest.mark.parametrize("module", sorted({*modules(*TOPS)} - {*modules("tasks/training", "zoo")}))
def test_engine_packages_are_only_imported_by_require(module: str) -> None:
    assert reaches(module, ENGINE_PACKAGES) == set()


@pytest.mark.parametrize("module", sorted({*modules("flows", "tasks", "storage")} - {*modules("tasks/training")}))
def test_training_is_only_imported_where_a_flow_trains(module: str) -> None:
    made_of_torch = {
        "overthink." + path.removesuffix(".py").replace("/", ".")
        for path in modules("tasks/training")
        if reaches(path, {"torch"})
    }
    assert len(made_of_torch) > 3
    if reaches(module, made_of_torch):
        assert module == "flows/prm_train.py"
        at_the_top = {name for node in tree(module).body for name in names(node)}
        assert not {name for name in at_the_top if name.rpartition(".")[0] in made_of_torch}


def required(module: str) -> set[str]:
    """The packages that a module imports lazily, by literal name."""
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    lazily = [call for call in calls if ast.unparse(call.func).split(".")[-1] in ("require", "import_module")]
    arguments = [call.args[0] for call in lazily]
    return {str(argument.value).split(".")[0] for argument in arguments if isinstance(argument, ast.Constant)}


@pytest.mark.parametrize("module", modules("flows", "tasks", "storage"))
def test_engine_packages_are_required_in_the_engines_alone(module: str) -> None:
    assert module.startswith(("tasks/engines/", "tasks/training/")) or not required(module) & ENGINE_PACKAGES


def test_the_engines_do_require_their_packages() -> None:
    assert set().union(*map(required, modules("tasks/engines"))) >= ENGINE_PACKAGES


@pytest.mark.parametrize("module", modules("tasks", "storage"))
def test_prefect_is_at_the_edge(module: str) -> None:
    assert module.startswith("tasks/stages/") or reaches(module, {"prefect"}) == set()


def decorated(module: str, decorator: str) -> list[str]:
    functions = [node for node in tree(module).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        function.name
        for function in functions
        for one in function.decorator_list
        if ast.unparse(one).split("(")[0] == decorator
    ]


@pytest.mark.parametrize("module", [module for module in modules("flows") if module.count("/") == 1])
def test_each_module_of_flows_is_one_flow(module: str) -> None:
    assert module == "flows/__init__.py" or len(decorated(module, "flow")) == 1


def test_no_basename_occurs_twice() -> None:
    stems = Counter(Path(module).stem for module in modules("flows", "storage", "tasks"))
    assert {stem for stem, count in stems.items() if count > 1} <= {"__init__"}


def test_no_public_class_name_occurs_twice() -> None:
    classes = Counter(
        node.name
        for module in modules("flows", "storage", "tasks")
        for node in tree(module).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in classes.items() if count > 1} == set()


@pytest.mark.parametrize("module", sorted({*modules(*TOPS)} - {*modules("flows/commands")}))
def test_no_function_takes_more_than_six_parameters(module: str) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            counted = [argument for argument in arguments if argument.arg not in ("self", "cls")]
            assert len(counted) <= MOST_PARAMETERS, f"{module}: {node.name}"


def bare_kinds(node: ast.AST) -> Iterator[str]:
    """Stage kinds that are written as strings."""
    texts: list[ast.AST] = []
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("StageUse", "stage_identity", "labelled_key"):
        texts = list(node.args[:1])
    if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("use.kind"):
        texts = [text for right in node.comparators for text in ast.walk(right)]
    yield from (str(text.value) for text in texts if isinstance(text, ast.Constant))


@pytest.mark.parametrize("module", modules("flows", "tasks", "storage"))
def test_a_stage_kind_is_never_a_bare_string(module: str) -> None:
    assert [kind for node in ast.walk(tree(module)) for kind in bare_kinds(node)] == []


@pytest.mark.parametrize("folder", [ROOT / "flows", ROOT / "tasks", ROOT / "storage"], ids=lambda path: path.name)
def test_no_module_hides_a_standard_module(folder: Path) -> None:
    stems = {path.stem for path in folder.iterdir() if path.name not in ("__init__.py", "__pycache__")}
    assert not stems & set(sys.stdlib_module_names)


APART = {"split", "rsplit", "partition", "rpartition", "startswith", "endswith", "removeprefix", "removesuffix"}
IN_SQL = re.compile(r"(starts_with|split_part|regexp_\w+)\((\w\.)?(method_id|selector)")
# Old parts do not say whether a selector reads scores, so that one view asks the names of that time.
TAKES_APART = {"tasks/analysis/method_ids.py", "storage/views.py"}


@pytest.mark.parametrize("module", sorted({*modules(*TOPS)} - TAKES_APART))
def test_no_method_id_and_no_selectors_name_is_taken_apart(module: str) -> None:
    """What they say is asked of tasks/analysis/method_ids.py, and of the selector."""
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    of_names = [call.func for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in APART]
    assert [ast.unparse(call) for call in of_names if re.search("method_id|selector", ast.unparse(call.value))] == []
    texts = [node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant)]
    assert [text for text in texts if isinstance(text, str) and IN_SQL.search(text)] == []
