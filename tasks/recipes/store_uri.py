"""The parameter by which a flow is told its store: a folder, or s3://BUCKET/PREFIX."""

from typing import Annotated

from pydantic import BeforeValidator

StorePlace = Annotated[str, BeforeValidator(str)]  # a Path serves too
