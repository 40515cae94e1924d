"""The forms of Prefect's page: what can be chosen there has names for people, which the page takes from `title`."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from overthink.flows.evaluate import evaluate
from overthink.flows.prm_eval import prm_eval
from overthink.flows.prm_train import prm_train


def tabs(schema: Any, definitions: dict[str, Any]) -> Iterator[list[tuple[str, str | None]]]:
    """Of each choice in a schema, the definitions with their titles."""
    if isinstance(schema, list):
        for part in schema:
            yield from tabs(part, definitions)
    if not isinstance(schema, dict):
        return
    names = [one["$ref"].rsplit("/", 1)[1] for one in schema.get("anyOf", ()) if "$ref" in one]
    if names:
        yield [(name, definitions[name].get("title")) for name in names]
    for part in schema.values():
        yield from tabs(part, definitions)


@pytest.mark.parametrize("flow", [evaluate, prm_eval, prm_train], ids=lambda flow: flow.name)
def test_the_tabs_of_a_form_are_named_for_people(flow: Any) -> None:
    schema = parameter_schema(flow).model_dump()
    choices = list(tabs(schema, schema["definitions"]))
    assert len(choices) > 5
    for choice in choices:
        titles = [title for _, title in choice]
        assert len(set(titles)) == len(titles), f"two tabs of one name: {choice}"
        for name, title in choice:
            assert title and title != name, f"{name} is the name of a class"


def test_models_that_inherit_have_a_title_of_their_own() -> None:
    definitions = parameter_schema(evaluate).model_dump()["definitions"]
    assert definitions["BeamSearch"]["title"] == "beam search"
    assert definitions["Dvts"]["title"] == "DVTS"
    assert definitions["VllmPolicyConfig"]["title"] == "vLLM, on this machine"
    assert definitions["Recipe"]["title"] == "Recipe"
