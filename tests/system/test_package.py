"""What is installed: one name, which a user's own `flows.py` or `tasks/` in the folder does not hide.

The wheel lies in an environment of its own, where no editable install says what `overthink` is.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.workers.process import ProcessWorker

from overthink.storage.sql import query
from overthink.storage.store import Store

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
        *(path for path in (ROOT / "zoo").glob("*/*") if path.suffix in (".safetensors", ".json", ".jinja")),
        *(ROOT / "tasks").rglob("templates/*"),
        *(path for path in (ROOT / "tasks" / "reporting" / "viewer" / "static").rglob("*") if path.is_file()),
    ]
    assert len(data) > 5
    assert {f"overthink/{path.relative_to(ROOT)}" for path in [*modules, *data]} <= packed


@pytest.fixture(scope="module")
def environment(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment with the wheel in it; what it needs is found where it is installed already."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    needed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "needed.pth").write_text("\n".join(needed))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", str(wheel.filename)], check=True)
    tops = {path.name for path in site.iterdir() if path.suffix not in (".dist-info", ".pth")}
    assert tops == {"overthink"}
    return folder / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with modules of the names that lie below `overthink`, and a recipe."""
    for name in ("flows.py", "recipes.py", "zoo.py", "tasks/__init__.py", "storage/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise RuntimeError('a module of the user was imported')\n")
    (tmp_path / "apart.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def done_in(folder: Path, *command: str | Path, server: str | None = None) -> str:
    """What a command that ends well prints, started in a folder, with a Prefect server or none."""
    variables = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    variables |= {} if server is None else {"PREFECT_API_URL": server}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rollouts(store: Path) -> int:
    (row,) = query(Store(store), "SELECT count(*) AS rollouts FROM rollouts JOIN runs USING (run_id)").to_pylist()
    return int(row["rollouts"])


def test_modules_of_a_user_s_own_change_nothing(environment: Path, folder: Path) -> None:
    for command, expected in (
        (["run", "apart.yaml"], "best_of_n-n2"),
        (["report", "apart"], "best_of_n-n2"),
        (["sql", "SELECT count(*) AS rollouts FROM rollouts", "--format", "csv"], "rollouts\n4"),
    ):
        told = done_in(folder, environment / "overthink", *command)
        assert expected in told.replace('"', "").replace("\r", "")


@pytest.mark.engine
def test_the_demo_needs_no_checkout_and_no_network(environment: Path, tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    told = done_in(tmp_path, environment / "overthink", "demo", "--problems", "3")
    assert "chains-test@" in told and "prm_min_vote" in told
    assert "overthink view store   # problems, solutions and their scores, in a browser" in told
    assert rollouts(tmp_path / "store") == 3 * (1 + 64)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_they_change_nothing_for_a_worker_of_a_deployment(
    environment: Path, folder: Path, real_prefect_server: str
) -> None:
    """A worker that is started in that folder, of a pool whose runs begin in it too."""
    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["working_dir"]["default"] = str(folder)
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="apart", type="process", base_job_template=template))
    store = folder / "of-the-worker"
    deploy = ["deploy", "apart.yaml", "--store", store, "--pool", "apart"]
    for words in (deploy, ["run", "apart.yaml", "--deployment", "apart"]):
        done_in(folder, environment / "overthink", *words, server=real_prefect_server)
    worker = [environment / "python", "-m", "prefect", "worker", "start", "--pool", "apart", "--run-once"]
    done_in(folder, *worker, server=real_prefect_server)
    assert rollouts(store) == 4


def test_they_change_nothing_for_workers_on_ray(environment: Path, folder: Path) -> None:
    pytest.importorskip("prefect_ray", reason="the extra `ray` is not installed")
    store = folder / "of-ray"
    told = done_in(folder, environment / "overthink", "run", "apart.yaml", "--ray", "--workers", "2", "--store", store)
    assert "best_of_n-n2" in told
    assert rollouts(store) == 4
