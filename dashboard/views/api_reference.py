"""The OpenAPI document as a page shows it: operations by tag, each with its parameters, an example body and its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TAGS = ("cluster", "routing", "processes", "calls", "events", "meta")


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    where: str
    type: str
    required: bool
    options: tuple[str, ...]
    default: str
    text: str
    preset: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`body` is an example of one; `role` who may; `stream` when the answer has no end."""

    id: str
    method: str
    path: str
    summary: str
    role: str
    parameters: tuple[Parameter, ...]
    body: str
    body_name: str
    body_schema: str
    answers: tuple[tuple[str, str], ...]
    answer_schema: str
    stream: bool


def by_tag(document: Mapping[str, Any]) -> list[tuple[str, list[Operation]]]:
    """The operations of each tag; tags in the order in which one would read them."""
    tags: dict[str, list[Operation]] = {tag: [] for tag in TAGS}
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = _operation(path, method.upper(), operation, schemas)
            tags.setdefault(operation["tags"][0], []).append(shown)
    for operations in tags.values():
        operations.sort(key=lambda operation: (operation.method != "GET", operation.path))
    return [(tag, operations) for tag, operations in tags.items() if operations]


def _operation(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Operation:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    content = operation["responses"]["200"]["content"]
    media, answer = next(iter(content.items()))
    needed = operation.get("description", "").removeprefix("Needs the role ").rstrip(".")
    return Operation(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        role=needed,
        parameters=tuple(_parameter(parameter) for parameter in operation["parameters"]),
        body=json.dumps(example(body, schemas), indent=2) if body else "",
        body_name=body["$ref"].rpartition("/")[2] if body else "",
        body_schema=_pretty(resolved(body, schemas)) if body else "",
        answers=tuple((status, answer["description"]) for status, answer in operation["responses"].items()),
        answer_schema=_pretty(resolved(answer["schema"], schemas)) if media == "application/json" else "",
        stream=media == "text/event-stream",
    )


def _parameter(parameter: Mapping[str, Any]) -> Parameter:
    schema = parameter["schema"]
    kind = str(schema.get("type", ""))
    options = schema.get("enum") or (("true", "false") if kind == "boolean" else ())
    default = schema.get("default", "")
    # What a button changes for good must be asked for: the form begins with a preview.
    preset = "true" if parameter["name"] == "preview" else ""
    return Parameter(
        name=parameter["name"],
        where=parameter["in"],
        type=kind,
        required=parameter["required"],
        options=tuple(str(option) for option in options),
        default="" if default is None else str(default),
        text=str(schema.get("description", "")),
        preset=preset,
    )


def resolved(schema: Any, schemas: Mapping[str, Any], depth: int = 6) -> Any:
    """A schema with its references put in, as far as `depth` goes."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.rpartition("/")[2]
            return resolved(schemas[name], schemas, depth - 1) if depth else {"$ref": reference}
        return {key: resolved(value, schemas, depth) for key, value in schema.items() if key != "title"}
    if isinstance(schema, list):
        return [resolved(item, schemas, depth) for item in schema]
    return schema


def example(schema: Any, schemas: Mapping[str, Any]) -> Any:
    """A value that fits the schema: its own example or default where it has one."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return example(schema[key][0], schemas)
    if schema.get("type") == "object":
        properties: Mapping[str, Any] = schema.get("properties", {})
        return {name: example(item, schemas) for name, item in properties.items()}
    plain: Mapping[str, Any] = {
        "integer": int(schema.get("minimum", 1)),
        "number": 1.0,
        "boolean": False,
        "array": [],
    }
    return plain.get(str(schema.get("type")), "")


def _pretty(schema: Any) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False)
