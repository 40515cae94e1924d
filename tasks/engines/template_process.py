"""A process that only renders chat templates, which are untrusted programs.

`python -m overthink.tasks.engines.template_process` reads what to render from its standard input and writes, in JSON,
the text or the error of each chat. Its memory, time and output are limited, so a runaway template
ends here.
"""

import json
import resource
import sys
from typing import Any

from overthink.tasks.engines.models import require

MEMORY = 2**30  # bytes of the whole process
CPU_SECONDS = 10
LONGEST = 2**24  # characters of all chats together


def bound() -> None:
    """Limit this process from now on."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + CPU_SECONDS, int(used) + CPU_SECONDS + 1))


def rendered(asked: dict[str, Any]) -> list[dict[str, str]]:
    """The `text` of each chat, or the `error` with which the template refuses it. Raises MemoryError."""
    render = require("transformers.utils.chat_template_utils", "pip install transformers").render_jinja_template
    bound()
    answers: list[dict[str, str]] = []
    left = LONGEST
    for chat in asked["chats"]:
        try:
            (text,), _ = render([chat], chat_template=asked["template"], **asked["variables"])
        except MemoryError:
            raise
        except Exception as error:  # whatever a template raises is its answer
            answers.append({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
            continue
        left -= len(text)
        if left < 0:
            raise MemoryError
        answers.append({"text": text})
    return answers


if __name__ == "__main__":
    json.dump(rendered(json.load(sys.stdin)), sys.stdout)
