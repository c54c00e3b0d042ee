from __future__ import annotations

from aiohttp.test_utils import make_mocked_request

from dashboard.http.context import CALLER, Caller, caller_of
from dashboard.http.tokens import Role


def test_a_request_has_a_caller_or_none() -> None:
    request = make_mocked_request("GET", "/")
    assert caller_of(request) is None
    request[CALLER] = Caller(Role.viewer, "bearer", "127.0.0.1")
    assert caller_of(request) == Caller(Role.viewer, "bearer", "127.0.0.1")
