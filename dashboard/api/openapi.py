"""OpenAPI 3.1 document, made from the table of endpoints and the models; nothing in it is written twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from dashboard.http.endpoints import TABLE, Call, Endpoint, endpoint
from dashboard.http.problems import MEDIA_TYPE
from dashboard.i18n import word
from dashboard.model.answers import ProblemDetail

_REF = "#/components/schemas/{model}"
_REASONS = {
    400: "api.the-request-is-no-http",
    401: "api.no-token-or-a-wrong-one",
    403: "api.the-role-is-too-low",
    404: "api.there-is-no-such-thing",
    409: "api.it-cannot-be-done-as-asked",
    413: "api.the-body-is-too-large",
    415: "api.the-body-is-not-application-json",
    421: "api.the-host-is-not-one",
    422: "api.a-parameter-or-the-body",
    429: "api.too-many-wrong-tokens",
    502: "api.the-router-or-launcher-went-away",
    503: "api.no-router-or-no-launcher-answers",
    504: "api.the-router-or-launcher-did-not",
}


_READ: Final = ("summary", "description")
"""What of the document is text."""


@endpoint(
    "GET",
    "/api/v1/openapi.json",
    role=None,
    tag="meta",
    summary="api.this-api-as-an-openapi-3",
    answer=dict[str, Any],
)
async def openapi(call: Call) -> web.Response:
    return web.json_response(in_english(document(call.context.options.prefix)))


@cache
def document(prefix: str = "") -> dict[str, Any]:
    """The whole document, with codes where people read; `prefix` is the path under which a proxy serves it."""
    models = {model for entry in TABLE for model in (entry.body, entry.query) if model is not None}
    _, schemas = models_json_schema([(ProblemDetail, "serialization")], ref_template=_REF)
    definitions: dict[str, Any] = dict(schemas["$defs"])
    for model in models:
        schema = TypeAdapter(model).json_schema(ref_template=_REF)
        definitions |= schema.pop("$defs", {})
        definitions[model.__name__] = schema
    paths: dict[str, Any] = {}
    for entry in TABLE:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry, definitions)
    try:
        release = version("luabus")
    except PackageNotFoundError:
        release = "0"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "luabus admin API",
            "version": release,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": prefix or "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "a token of the run directory"}
            },
        },
    }


def in_english(part: Any) -> Any:
    """Part of the document with its codes as English texts."""
    if isinstance(part, Mapping):
        return {
            key: str(word(value)) if key in _READ and isinstance(value, str) else in_english(value)
            for key, value in part.items()
        }
    return [in_english(item) for item in part] if isinstance(part, list) else part


def _operation(endpoint: Endpoint, definitions: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
        "responses": _responses(endpoint, definitions),
    }
    if endpoint.role is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs the role {endpoint.role.name}."
    if endpoint.body is not None:
        schema = {"$ref": _REF.format(model=endpoint.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    shapes = {"number": {"type": "integer", "minimum": 1}}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": shapes.get(name, {"type": "string", "minLength": 1}),
        }
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = endpoint.query.model_json_schema(ref_template=_REF)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": shape}
        for name, shape in schema["properties"].items()
    ]


def _responses(endpoint: Endpoint, definitions: dict[str, Any]) -> dict[str, Any]:
    statuses = {400, 421, 422, *endpoint.problems}
    if endpoint.role is not None:
        statuses |= {401, 403, 429}
    if endpoint.body is not None:
        statuses |= {403, 413, 415}
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemDetail")}}}
    responses: dict[str, Any] = {
        "200": {
            "description": "api.done-as-asked",
            "content": {endpoint.media: {"schema": _answer(endpoint, definitions)}},
        }
    }
    if endpoint.begins:
        responses["202"] = {
            **responses["200"],
            "description": "api.it-has-begun-see-its-job",
            "headers": {
                "Location": {
                    "description": "Where its job is asked for",
                    "required": True,
                    "schema": {"type": "string"},
                }
            },
        }
    if endpoint.listed:
        responses["200"]["headers"] = {
            "X-Total-Count": {
                "description": "How many rows there are, before paging",
                "required": True,
                "schema": {"type": "integer", "minimum": 0},
            }
        }
    for status in sorted(statuses):
        # What is no HTTP is answered by the server before anything of ours sees it, in plain text.
        content = {"text/plain": {"schema": {"type": "string"}}, **problem} if status == 400 else problem
        responses[str(status)] = {"description": _REASONS[status], "content": content}
    return responses


def _answer(endpoint: Endpoint, definitions: dict[str, Any]) -> dict[str, Any]:
    if endpoint.answer is None:
        return {"type": "string"}
    schema = TypeAdapter(endpoint.answer).json_schema(mode="serialization", ref_template=_REF)
    definitions |= schema.pop("$defs", {})
    title = schema.get("title")
    if title and schema.get("type") == "object" and "properties" in schema:
        definitions[title] = schema
        return {"$ref": _REF.format(model=title)}
    return schema
