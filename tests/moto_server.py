"""The server of moto with writes one after the other: it looks at a condition and writes then, S3 does both at once."""

import sys
import threading
from typing import Any

from moto.s3.responses import S3Response
from moto.server import main

put_object, lock = S3Response.put_object, threading.Lock()


def put_alone(response: S3Response) -> Any:
    with lock:
        return put_object(response)


if __name__ == "__main__":
    S3Response.put_object = put_alone  # type: ignore[method-assign]
    main(sys.argv[1:])
