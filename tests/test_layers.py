"""Who may import whom, held by reading the imports (design, section 2)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"flows", "tasks", "zoo", "storage", "recipes", "benchmarks", "tests"}
PREFECT_STAGES = {"sampling", "searching", "scoring", "grading", "deciding", "selecting", "choosing"}
PREFECT_STAGES |= {"measuring", "labelling", "shards"}
ENGINE_PACKAGES = {"vllm", "torch", "transformers"}


def modules(*folders: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute, so that this test sees what they reach"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(module: str) -> set[str]:
    """Every module that a module imports, anywhere in it."""
    return {name for node in ast.walk(ast.parse((ROOT / module).read_text())) for name in names(node)}


def reaches(module: str, packages: set[str]) -> set[str]:
    return {name for name in imported(module) for package in packages if f"{name}.".startswith(f"{package}.")}


@pytest.mark.parametrize("module", modules("storage"))
def test_storage_imports_nothing_of_ours(module: str) -> None:
    assert reaches(module, OURS - {"storage"}) == set()


@pytest.mark.parametrize("module", modules("tasks/methods", "tasks/analysis"))
def test_methods_and_analysis_are_pure(module: str) -> None:
    impure = {"overthink.tasks.engines", "storage", "prefect", "flows", "asyncio", "random", "time"}
    assert reaches(module, impure) <= {"random.Random"}, "a series that the caller seeds is no hidden state"


@pytest.mark.parametrize("module", modules("tasks"))
def test_tasks_do_not_import_flows(module: str) -> None:
    assert reaches(module, {"flows", "zoo"}) == set()


@pytest.mark.parametrize("module", sorted({*modules("flows", "tasks", "storage")} - {*modules("tasks/training")}))
def test_engine_packages_are_only_imported_by_require(module: str) -> None:
    assert reaches(module, ENGINE_PACKAGES) == set()


@pytest.mark.parametrize("module", sorted({*modules("flows", "tasks", "storage")} - {*modules("tasks/training")}))
def test_training_is_only_imported_where_a_flow_trains(module: str) -> None:
    made_of_torch = {
        path.removesuffix(".py").replace("/", ".") for path in modules("tasks/training") if reaches(path, {"torch"})
    }
    assert len(made_of_torch) > 3
    if reaches(module, made_of_torch):
        assert module == "flows/prm_train.py"
        at_the_top = {name for node in ast.parse((ROOT / module).read_text()).body for name in names(node)}
        assert not {name for name in at_the_top if name.rpartition(".")[0] in made_of_torch}


def required(module: str) -> set[str]:
    """The packages that a module imports lazily, by literal name."""
    calls = [node for node in ast.walk(ast.parse((ROOT / module).read_text())) if isinstance(node, ast.Call)]
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
    stage = module.removeprefix("tasks/").removesuffix(".py")
    assert stage in PREFECT_STAGES or reaches(module, {"prefect"}) == set()


def test_stage_modules_exist() -> None:
    assert {f"tasks/{stage}.py" for stage in PREFECT_STAGES} <= set(modules("tasks"))


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "flows").iterdir(), *(ROOT / "tasks").iterdir()]), ids=lambda p: p.name
)
def test_no_module_hides_a_standard_module_or_a_top_level_folder(path: Path) -> None:
    folders = {folder.name for folder in ROOT.iterdir() if folder.is_dir()}
    if path.name not in ("__init__.py", "__pycache__"):
        assert path.stem not in sys.stdlib_module_names | folders
