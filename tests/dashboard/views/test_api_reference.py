from __future__ import annotations

import json

from pydantic import TypeAdapter

from dashboard import app  # noqa: F401  (enters every endpoint)
from dashboard.api.openapi import document
from dashboard.http.endpoints import TABLE
from dashboard.views.api_reference import by_tag, example


def test_every_operation_is_shown_once() -> None:
    shown = [
        (operation.method, operation.path) for _, operations in by_tag(document()) for operation in operations
    ]
    assert sorted(shown) == sorted((operation.method, operation.path) for operation in TABLE)


def test_every_example_body_is_accepted_by_its_model() -> None:
    bodies = {operation.path: operation.body for operation in TABLE if operation.body is not None}
    for _, operations in by_tag(document()):
        for operation in operations:
            if operation.body:
                TypeAdapter(bodies[operation.path]).validate_python(json.loads(operation.body))


def test_what_changes_something_begins_as_a_preview() -> None:
    operations = {operation.id: operation for _, listed in by_tag(document()) for operation in listed}
    (preview,) = operations["kill"].parameters
    assert (preview.name, preview.preset, preview.options) == ("preview", "true", ("true", "false"))
    assert operations["kill"].role == "operator"
    assert operations["stream"].stream
    kinds = next(parameter for parameter in operations["series"].parameters if parameter.name == "kind")
    assert "messages" in kinds.options


def test_examples_come_from_the_schema() -> None:
    schemas = {
        "A": {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 3}, "s": {"examples": ["x"]}},
        }
    }
    assert example({"$ref": "#/components/schemas/A"}, schemas) == {"n": 3, "s": "x"}
