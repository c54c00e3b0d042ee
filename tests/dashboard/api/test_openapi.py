from __future__ import annotations

import json
from typing import Any

from dashboard.api.openapi import document
from dashboard.http.endpoints import TABLE
from luabus.messages import Message
from tests.dashboard.conftest import Dash


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(value) for value in part.values()))
    return set().union(*(references(value) for value in part)) if isinstance(part, list) else set()


async def test_it_is_served_to_everybody(dash: Dash) -> None:
    answer = await dash.get("/api/v1/openapi.json", None)
    served = await answer.json()
    assert served["openapi"] == "3.1.0"
    status = served["paths"]["/api/v1/status"]["get"]
    assert status["summary"] == str(Message(document()["paths"]["/api/v1/status"]["get"]["summary"]))


def test_every_endpoint_is_in_it_and_every_reference_leads_somewhere() -> None:
    whole = document()
    for endpoint in TABLE:
        assert endpoint.method.lower() in whole["paths"][endpoint.path]
    for reference in references(whole):
        assert reference.removeprefix("#/components/schemas/") in whole["components"]["schemas"], reference
    assert json.loads(json.dumps(whole)) == whole


def test_operations_have_names_of_their_own() -> None:
    names = [op["operationId"] for path in document()["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))


def test_open_endpoints_say_so_and_the_others_name_their_role() -> None:
    paths = document()["paths"]
    assert paths["/healthz"]["get"]["security"] == []
    assert "admin" in paths["/api/v1/register"]["post"]["description"]
    assert "401" in paths["/api/v1/status"]["get"]["responses"]
    assert "401" not in paths["/healthz"]["get"]["responses"]


def test_parameters_and_bodies_come_from_the_models() -> None:
    paths = document("/luabus")["paths"]
    logs = paths["/api/v1/processes/{name}/logs"]["get"]["parameters"]
    assert [(p["name"], p["in"], p["required"]) for p in logs] == [
        ("name", "path", True),
        ("lines", "query", False),
        ("since", "query", False),
    ]
    kill = paths["/api/v1/kill"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert kill == {"$ref": "#/components/schemas/KillRequest"}
    assert document("/luabus")["servers"] == [{"url": "/luabus"}]
