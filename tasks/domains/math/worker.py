"""The child process of `judge.py`: reads one problem a line as JSON, writes what was found about it as JSON."""

import json
import resource
import sys
from typing import Any

from overthink.tasks.domains.math.bounded import Budget, grouped, judged

MEMORY_LIMIT_BYTES = 2 * 2**30


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """Keys, verdicts and reasons, or groups, by answer."""
    budget = Budget(request["time_limit"], request["problem_limit"])
    if request["work"] == "judge":
        return dict(judged(request["reference"], request["answers"], budget))
    return dict(grouped(request["answers"], budget))


def main() -> None:
    """Answer until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(reply(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
