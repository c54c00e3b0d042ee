from __future__ import annotations

import pytest
from pydantic import ValidationError

from dashboard.model.answers import Connection, Group, Process


def test_what_goes_out_is_read_tolerantly_and_never_changes() -> None:
    row = Connection.model_validate({"router": "router.1", "token": 1, "a newer field": 1})
    with pytest.raises(ValidationError):
        row.token = 2  # type: ignore[misc]
    assert Group.model_validate({"group": 2, "name": "mail"}).slots == ()


def test_a_state_that_is_none_is_an_error() -> None:
    with pytest.raises(ValidationError):
        Process.model_validate({"name": "mail.1", "state": "sleeping"})
