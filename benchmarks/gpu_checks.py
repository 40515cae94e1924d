"""What nobody could try without a GPU (docs/gpu.md), a check a name. `benchmarks/gpu.sh` runs them all.

    python -m benchmarks.gpu_checks list
    python -m benchmarks.gpu_checks run cuda-graphs --folder gpu-checks

A check prints one line, a figure, and exits with 0; 1 where it failed, 3 where this machine cannot run it, with the
reason in that line.
"""

import asyncio
import platform
import sys
import traceback
from collections.abc import Awaitable, Callable
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import gpu_policies, gpu_prms, gpu_runs
from benchmarks.gpu_setting import GIB, Setting, Skipped

NO_GPU, FAILED, SKIPPED = 2, 1, 3
CHECKS: dict[str, Callable[[Setting], Awaitable[str]]] = {
    "device-ids": gpu_policies.device_ids,
    "missing-card": gpu_policies.missing_card,
    "two-engines": gpu_runs.two_engines,
    "in-turn": gpu_runs.in_turn,
    "sleep-mode": gpu_policies.sleep_mode,
    "killed": gpu_runs.killed,
    "cuda-graphs": gpu_policies.cuda_graphs,
    "batch-invariant": gpu_policies.batch_invariant,
    "fp8": gpu_policies.fp8,
    "awq": gpu_policies.awq,
    "prm-parity": gpu_prms.parity,
    "prm-torch": gpu_prms.torch_prm,
    "prefix-reuse": gpu_prms.prefix_reuse,
    "tensor-parallel": gpu_policies.tensor_parallel,
    "copies": gpu_policies.copies,
}
app = typer.Typer(add_completion=False)


@app.command("list")
def list_checks(cpu: Annotated[bool, typer.Option(help="Without a GPU too.")] = False) -> None:
    """Print the names; exits 2 where there is no GPU."""
    if not cpu and not torch.cuda.is_available():
        typer.echo("torch sees no GPU on this machine: --cpu rehearses the checks that need none", err=True)
        raise typer.Exit(NO_GPU)
    for name in CHECKS:
        typer.echo(name)


@app.command()
def machine() -> None:
    """Print the cards and the versions."""
    for card in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(card)
        typer.echo(f"GPU {card}: {found.name}, {found.total_memory / GIB:.0f} GiB, {found.major}.{found.minor}")
    installed = packages_distributions()  # vLLM has more than one distribution
    versions = [f"{name} {version(installed[name][0])}" for name in ("overthink", "vllm", "torch") if name in installed]
    typer.echo(f"{', '.join(versions)}, CUDA {torch.version.cuda}, Python {platform.python_version()}")


@app.command()
def run(name: str, folder: Annotated[Path, typer.Option(help="For models and stores.")] = Path("gpu-checks")) -> None:
    """Run one check and print its figure."""
    if name not in CHECKS:
        raise typer.BadParameter(f"{name} is no check: name one of {', '.join(CHECKS)}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        typer.echo(asyncio.run(_awaited(CHECKS[name], Setting.here(folder))))
    except Skipped as reason:
        typer.echo(str(reason))
        raise typer.Exit(SKIPPED) from None
    except Exception as error:  # whatever a check meets is its result
        traceback.print_exc(file=sys.stderr)
        typer.echo(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        raise typer.Exit(FAILED) from None


async def _awaited(check: Callable[[Setting], Awaitable[str]], setting: Setting) -> str:
    return await check(setting)


if __name__ == "__main__":
    app()
