"""The flags with which vLLM's server serves a PRM of a family, so that it answers as an engine of the run's own does.

python -m overthink.tasks.engines.vllm.server_flags qwen Qwen/Qwen2.5-Math-PRM-7B
"""

import json
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from overthink.tasks.closest import which
from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.models import locate_tokenizer
from overthink.tasks.engines.prm.families import FAMILIES, VLLM_HEADS
from overthink.tasks.engines.vllm.vllm_prm import pooling_settings
from overthink.tasks.errors import EngineUnavailable, UserError


def server_flags(family: str, tokenizer: Any) -> list[str]:
    """What goes behind `--model MODEL`. Raises EngineUnavailable where vLLM cannot compute the family's head."""
    if family not in FAMILIES:
        raise EngineUnavailable(f"there is no PRM family {family!r}: {which(family, FAMILIES)}")
    head = FAMILIES[family].head
    if head.layers not in VLLM_HEADS:
        raise EngineUnavailable(f"vLLM cannot compute the head of PRM family {family!r}: use engine: torch")
    settings = pooling_settings(head, tokenizer)
    # The engine takes the task from each request; a server serves one, and would choose `classify` where it can.
    return flags_of(settings | {"pooler_config": settings["pooler_config"] | {"task": "token_classify"}})


def flags_of(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments of vLLM's engine as flags of its server."""
    words: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return words


def main(words: list[str]) -> int:
    """Print the flags of one family and one model; exit code 2 where there are none."""
    try:
        family, model = words
        print(shlex.join(server_flags(family, load_tokenizer(locate_tokenizer(model)))))
    except ValueError:
        print("usage: python -m overthink.tasks.engines.vllm.server_flags FAMILY MODEL", file=sys.stderr)
        return 2
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
