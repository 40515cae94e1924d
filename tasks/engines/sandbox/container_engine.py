"""A container engine, docker or podman, where bubblewrap is not: each program in a container of its own."""

import shutil

from overthink.tasks.engines.sandbox.isolation import ENVIRONMENT, supervised
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.programs import Limits

IMAGE = "python:3.11-slim-bookworm"
USER = "65534:65534"
# The container's bounds are wider than the program's own, so that these are met first, and are met the same everywhere.
ENGINE_PROCESSES, ENGINE_MEMORY = 16, 2**26


class ContainerEngine:
    """Runs the interpreter of an image, which is there already: nothing is fetched."""

    def __init__(self, engine: str, image: str = IMAGE) -> None:
        self.name, self._image = engine, image

    def command(self, limits: Limits) -> list[str]:
        """The supervisor is the container's first process, and ends with the client, whose input it reads."""
        found = shutil.which(self.name)
        if found is None:
            raise EngineUnavailable(f"{self.name} is not installed")
        memory = str(limits.memory_bytes + limits.file_bytes + ENGINE_MEMORY)
        bounds = ["--pids-limit", str(limits.processes + ENGINE_PROCESSES), "--memory", memory, "--memory-swap", memory]
        apart = ["--network", "none", "--read-only", "--user", USER, "--cap-drop", "ALL"]
        apart += ["--security-opt", "no-new-privileges", "--tmpfs", f"/tmp:rw,mode=1777,size={limits.file_bytes}"]
        told = [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
        begin = [found, "run", "--rm", "--interactive", "--pull", "never", "--log-driver", "none", "--workdir", "/tmp"]
        return [*begin, *apart, *bounds, *told, self._image, *supervised("python")]

    def identity(self) -> dict[str, str]:
        """The interpreter is the image's."""
        return {"sandbox": self.name, "image": self._image}
