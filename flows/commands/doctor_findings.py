"""The checks of `overthink doctor`: the environment, the engines, Prefect, and a store."""

import asyncio
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.version import Version
from pydantic import ValidationError

from overthink.flows.commands.lease_findings import lease_findings
from overthink.storage.integrity import Finding, network_file_system, store_findings
from overthink.storage.store import Store
from overthink.tasks.engines.engine_config import ServedModelConfig
from overthink.tasks.engines.engine_health import endpoint_findings, engine_findings, gpu_findings
from overthink.tasks.engines.prm_config import loaded_config
from overthink.tasks.engines.sandbox.choosing import sandbox_finding
from overthink.tasks.errors import EngineUnavailable, UserError
from overthink.tasks.pydantic_words import plain
from overthink.tasks.recipes.recipe import Recipe

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

OLDEST_PYTHON = (3, 11)
LITTLE_SPACE = 5 * 2**30
MOUNTS = Path("/proc/mounts")


def findings(
    store: Store | None, served: Sequence[ServedModelConfig] = (), urls: Sequence[str] = ()
) -> Iterator[Finding]:
    """All checks in turn; those of a store, of the endpoints of served models and of bare URLs only where named."""
    yield from _python()
    yield from _packages()
    yield from engine_findings()
    yield from gpu_findings()
    yield asyncio.run(sandbox_finding())
    yield from _prefect()
    for config in served:
        yield from asyncio.run(_served(config))
    for url in urls:
        yield from asyncio.run(endpoint_findings(bare_endpoint(url), must_list=False))
    if store is not None:
        yield from _disk(store.root)
        yield from store_findings(store)
        yield from lease_findings(store)


def _python() -> Iterator[Finding]:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    what = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("broken", "Python", what, f"install Python {oldest} or newer")
    else:
        yield Finding("ok", "Python", what)


def _packages() -> Iterator[Finding]:
    """Compare the requirements in our metadata with the installed packages."""
    wrong = list(_unmet(requires("overthink") or []))
    yield from wrong
    if not wrong:
        yield Finding(
            "ok", "packages", f"overthink {version('overthink')} and all it needs, prefect {version('prefect')}"
        )


def _unmet(requirements: list[str]) -> Iterator[Finding]:
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        remedy = f"pip install '{requirement.name}{requirement.specifier}'"
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield Finding("broken", requirement.name, "is not installed", remedy)
        else:
            if not requirement.specifier.contains(installed, prereleases=True):
                yield Finding("broken", requirement.name, f"{installed} is not {requirement.specifier}", remedy)


def _prefect() -> Iterator[Finding]:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    from overthink.tasks.stages.prefect_faults import FAULTS, SECONDS_TO_ANSWER, words_for

    address = PREFECT_API_URL.value()
    if address is None:
        yield Finding("ok", "Prefect", "no PREFECT_API_URL: runs need no server")
        return
    try:
        with get_client(sync_client=True, httpx_settings={"timeout": SECONDS_TO_ANSWER}) as client:
            answer = client.api_version()
            Version(answer)
            deployments = _old_deployments(client)
    except (RuntimeError, *FAULTS) as error:
        remedy = "start it with `prefect server start`, mend PREFECT_API_URL, or unset it"
        yield Finding("broken", "Prefect", f"the server at {address} does not answer ({words_for(error)})", remedy)
    else:
        yield Finding("ok", "Prefect", f"the server at {address} answers, version {answer}")
        yield from deployments


def _old_deployments(client: "SyncPrefectClient") -> list[Finding]:
    from prefect.exceptions import PrefectHTTPStatusError

    from overthink.flows.orchestration.deployments import old_deployments

    try:
        return [Finding("broken", f"deployment {name}", *told) for name, *told in old_deployments(client)]
    except PrefectHTTPStatusError as error:
        refusal = f"the server does not list them (status {error.response.status_code})"
        return [Finding("warning", "deployments", refusal, "ask with a key that may read deployments")]


async def _served(config: ServedModelConfig) -> list[Finding]:
    from overthink.flows.orchestration.secret_blocks import fetch_key

    try:
        await fetch_key(config)
    except EngineUnavailable as error:
        return [Finding("broken", config.model, str(error), "mend the block, or name `api_key_env`")]
    return await endpoint_findings(config)


def served_models(recipes: Iterable[Recipe]) -> tuple[ServedModelConfig, ...]:
    """The distinct served policies and PRMs of some recipes."""
    engines = [engine for recipe in recipes for engine in (recipe.policy, loaded_config(recipe.prm))]
    return tuple(dict.fromkeys(engine for engine in engines if isinstance(engine, ServedModelConfig)))


def bare_endpoint(url: str) -> ServedModelConfig:
    """An endpoint whose model does not matter. Raises UserError where `url` is not a URL."""
    try:
        return ServedModelConfig(model="any", endpoints=(url,))
    except ValidationError as error:
        raise UserError(f"--endpoint {url}: {plain(error.errors()[0])}") from error


def _disk(root: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free
    what = f"{free / 2**30:.1f} GiB free"
    if free < LITTLE_SPACE:
        yield Finding("warning", str(root), what, "free space, or move the store")
    else:
        yield Finding("ok", str(root), what)
    kind = network_file_system(root.resolve(), MOUNTS.read_text(encoding="utf-8") if MOUNTS.exists() else "")
    if kind is not None:
        remedy = "check that its locks work across machines, or keep the store on a local disk (docs/sizes.md)"
        yield Finding(
            "warning", str(root), f"a network file system ({kind}), as safe for journals as its locks are", remedy
        )
