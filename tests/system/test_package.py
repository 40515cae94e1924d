"""What is installed: one name, which a user's own `flows.py` or `tasks/` in the folder does not hide."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOT_PACKED = shutil.ignore_patterns(".git", ".venv", "build", "store", "__pycache__", ".*_cache", "*.egg-info")
RECIPE = {
    "name": "apart",
    "problems": {"source": "chains", "split": "test", "count": 2},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "best_of_n", "n": 2}],
    "budgets": [2],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(ROOT, folder / "source", ignore=NOT_PACKED)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "."]
    subprocess.run([*build, str(source)], cwd=folder, check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_a_wheel_holds_one_top_level_name(wheel: zipfile.ZipFile) -> None:
    tops = {Path(name).parts[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"overthink"}


def test_a_wheel_holds_every_module_and_all_data(wheel: zipfile.ZipFile) -> None:
    packed = set(wheel.namelist())
    rooms = ("flows", "recipes", "storage", "tasks", "zoo")
    modules = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    data = [
        *(ROOT / "recipes").glob("*.yaml"),
        *(ROOT / "zoo").glob("*/*.safetensors"),
        *(ROOT / "tasks").rglob("templates/*"),
    ]
    assert len(data) > 5
    assert {f"overthink/{path.relative_to(ROOT)}" for path in [*modules, *data]} <= packed


@pytest.mark.usefixtures("address")
def test_modules_of_a_user_s_own_change_nothing(tmp_path: Path) -> None:
    for name in ("flows.py", "recipes.py", "zoo.py", "tasks/__init__.py", "storage/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise RuntimeError('a module of the user was imported')\n")
    (tmp_path / "apart.yaml").write_text(yaml.safe_dump(RECIPE))
    overthink = str(Path(sys.executable).parent / "overthink")
    for command, expected in (
        (["run", "apart.yaml"], "best_of_n-n2"),
        (["report", "apart"], "best_of_n-n2"),
        (["sql", "SELECT count(*) AS rollouts FROM rollouts", "--format", "csv"], "rollouts\n4"),
    ):
        done = subprocess.run([overthink, *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert expected in done.stdout.replace('"', "").replace("\r", "")
