"""docker-compose.yml and what goes with it: valid, without a secret, and telling the same as the rest of the house."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from composed import BIN, ROOT, compose, services

from overthink.tasks.engines.vllm.settings import CPU_BATCHED_TOKENS, CPU_BLOCK_SIZE
from overthink.tasks.recipes.loading import read_recipe

FILE = ROOT / "docker-compose.yml"
PROFILES = ("cpu", "gpu", "s3")
SECRET = {"POSTGRES_PASSWORD": "not-in-the-file"}
LOCK = (ROOT / "requirements" / "cpu.txt").read_text(encoding="utf-8")


@cache
def of(profile: str, **settings: str) -> dict[str, dict[str, Any]]:
    return services(profile, **SECRET, **settings)


def flags(service: dict[str, Any]) -> dict[str, str]:
    """The values of a command's flags."""
    words = service["command"]
    return {word: value for word, value in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}


def test_the_file_is_what_the_compose_specification_says() -> None:
    words = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE]
    told = subprocess.run(words, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("profile", PROFILES)
def test_compose_itself_accepts_the_file(profile: str) -> None:
    assert compose("--profile", profile, "config", "--quiet", **SECRET).returncode == 0


@pytest.mark.parametrize("port", ["4200", "4300"])
def test_the_page_asks_for_its_data_at_the_port_where_it_is_found(port: str) -> None:
    server = of("cpu", PREFECT_PORT=port)["server"]
    (published,) = server["ports"]
    assert (published["host_ip"], published["published"]) == ("127.0.0.1", port)
    assert server["environment"]["PREFECT_SERVER_UI_API_URL"] == f"http://127.0.0.1:{port}/api"
    worker = of("cpu", PREFECT_PORT=port)["worker-cpu"]
    assert worker["environment"]["PREFECT_UI_URL"] == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("settings", [{}, {"POSTGRES_PASSWORD": ""}])
def test_without_a_password_nothing_starts(settings: dict[str, str]) -> None:
    told = compose("--profile", "cpu", "config", "--quiet", **settings)
    assert told.returncode != 0
    assert "set POSTGRES_PASSWORD in .env, see .env.example" in told.stderr


def test_no_secret_has_a_value_in_a_file_of_the_repository() -> None:
    file = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for service in file["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN", name):
                assert re.fullmatch(r"\$\{\w+(-|:\?[^}]*)\}", value), name
    written = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert "POSTGRES_PASSWORD=" in written
    assert "/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ".env" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_example_with_a_password_is_all_that_a_box_without_gpu_needs(tmp_path: Path) -> None:
    settings = tmp_path / ".env"
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    settings.write_text(example.replace("POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=secret"))
    told = compose("config", "--services", env_file=settings)
    assert set(told.stdout.split()) == set(of("cpu"))


def test_every_variable_is_in_the_example_with_its_default() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    used = re.findall(r"\$\{(\w+)(?::-([^}]*))?", FILE.read_text(encoding="utf-8"))
    assert len({name for name, _ in used}) > 10
    for name, default in used:
        shown = re.search(rf"^(?:# )?{name}=(.*?)(?: +#.*)?$", example, flags=re.MULTILINE)
        assert shown is not None, name
        assert shown[1] == default or name == "OVERTHINK_RECIPE"


@pytest.mark.parametrize("profile", PROFILES)
def test_services_come_back_are_watched_and_wait_for_each_other(profile: str) -> None:
    found = of(profile)
    for name, service in found.items():
        once = name.startswith("schedule")
        assert service["restart"] == ("on-failure" if once else "unless-stopped")
        assert once or service["healthcheck"]["test"][0] == "CMD"
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy", "required": True}
            assert "healthcheck" in found[needed]


def test_only_loopback_of_the_host_is_listened_on() -> None:
    for profile in PROFILES:
        for service in of(profile).values():
            assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ()))


def gpus(service: dict[str, Any]) -> list[dict[str, Any]]:
    resources = service.get("deploy", {}).get("resources", {})
    return list(resources.get("reservations", {}).get("devices", ()))


def test_gpus_are_reserved_for_the_model_servers_alone() -> None:
    assert not any(gpus(service) for service in of("cpu").values())
    reserved = {name: gpus(service) for name, service in of("gpu", PRM_GPU="3").items() if gpus(service)}
    assert {name: device["device_ids"] for name, (device,) in reserved.items()} == {
        "policy-gpu": ["0"],
        "prm-gpu": ["3"],
    }


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_the_recipe_asks_the_servers_for_what_they_serve(profile: str) -> None:
    found = of(profile)
    recipe = read_recipe(ROOT / "recipes" / f"{found[f'schedule-{profile}']['command'][2]}.yaml")
    for engine, config in (("policy", recipe.policy), ("prm", recipe.prm)):
        assert config is not None
        told = flags(found[f"{engine}-{profile}"])
        aliases = found[f"{engine}-{profile}"]["networks"]["default"]["aliases"]
        assert config.endpoints == tuple(f"http://{alias}:{told['--port']}/v1" for alias in aliases)
        assert config.model == told.get("--served-model-name", told["--model"])
        assert config.tokenizer == told["--model"]
    assert recipe.policy.max_model_len == int(flags(found[f"policy-{profile}"])["--max-model-len"])


def test_a_server_on_a_cpu_is_set_as_a_run_s_own_engine_is() -> None:
    found = of("cpu")
    for name in ("policy-cpu", "prm-cpu"):
        told = flags(found[name])
        assert {"--enforce-eager", "--no-enable-chunked-prefill"} <= set(told)
        assert int(told["--block-size"]) == CPU_BLOCK_SIZE
        assert int(told["--max-num-batched-tokens"]) == CPU_BATCHED_TOKENS


def test_the_worker_takes_one_run_at_a_time_from_the_pool_that_is_deployed_to() -> None:
    for profile in ("cpu", "gpu"):
        found = of(profile)
        assert flags(found[f"worker-{profile}"])["--limit"] == "1"
        pool = flags(found[f"worker-{profile}"])["--pool"]
        assert "--pool" not in flags(found[f"schedule-{profile}"]), "the default"
        assert pool == yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"][0]["work_pool"]["name"]


def test_images_hold_the_versions_of_the_lock() -> None:
    (prefect,) = re.findall(r"^prefect==(.*)$", LOCK, flags=re.MULTILINE)
    assert of("cpu")["server"]["image"] == f"prefecthq/prefect:{prefect}-python3.11"
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    extras = re.findall(r'^gpu = \["(.*)", "(.*)"\]', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)[0]
    assert all(f'"{requirement}"' in dockerfile for requirement in extras)
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, flags=re.MULTILINE))
    assert {
        service["build"]["target"] for p in ("cpu", "gpu") for service in of(p).values() if "build" in service
    } < targets


def test_what_the_dockerfile_copies_is_there() -> None:
    for source in re.findall(r"^COPY (\S+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE):
        assert (ROOT / source).exists()


def test_bubblewrap_may_begin_in_the_workers_and_in_them_alone() -> None:
    for profile in ("cpu", "gpu"):
        allowed = {name: service["security_opt"] for name, service in of(profile).items() if "security_opt" in service}
        (options,) = allowed.values()
        assert list(allowed) == [f"worker-{profile}"]
        profiles = dict(option.split("=") for option in options)
        assert profiles["apparmor"] == "unconfined" and profiles["no-new-privileges"] == "true"
        (denied,) = json.loads((ROOT / profiles["seccomp"]).read_text(encoding="utf-8"))["syscalls"]
        assert denied["action"] == "SCMP_ACT_ERRNO"
        needed = {
            "clone",
            "clone3",
            "unshare",
            "mount",
            "umount2",
            "pivot_root",
            "sethostname",
            "pidfd_open",
            "memfd_create",
        }
        assert not needed & set(denied["names"])
        assert {"ptrace", "bpf", "keyctl", "init_module", "setns", "open_by_handle_at"} < set(denied["names"])
    assert " bubblewrap " in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_folders_that_are_mounted_are_those_that_are_used() -> None:
    for profile in ("cpu", "gpu"):
        found = of(profile)
        mounts = {volume["target"]: volume for volume in found[f"worker-{profile}"]["volumes"]}
        assert mounts[flags(found[f"schedule-{profile}"])["--store"]]["type"] == "volume"
        assert Path(mounts["/app/recipes"]["source"]) == ROOT / "recipes"
