"""What Prefect's page can draw a form from, and its server check parameters against."""

from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


def as_choices(schema: Any) -> Any:
    """A JSON schema whose choices are all `anyOf`, one level deep, and ask for the key that tells them apart.

    The page knows nothing of `oneOf`, which pydantic writes where a key decides.
    """
    if isinstance(schema, list):
        return [as_choices(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: as_choices(part) for key, part in schema.items()}
    if "discriminator" in parts:
        parts |= {"anyOf": parts.pop("oneOf"), "required": [parts.pop("discriminator")["propertyName"]]}
    for choice in parts.get("anyOf", ()):
        if "anyOf" in choice:
            others = [other for other in parts["anyOf"] if other is not choice]
            return parts | choice | {"anyOf": [*choice["anyOf"], *others]}
    return parts


class FormModel(BaseModel):
    """A model with keys that are choices, as the form of a deployment can draw it."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema, its choices by `as_choices`."""
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        own["properties"] = as_choices(own["properties"])
        return schema
