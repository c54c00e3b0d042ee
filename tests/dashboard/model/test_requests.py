from __future__ import annotations

import pytest
from pydantic import ValidationError

from dashboard.model.requests import RegisterRequest


def test_what_comes_in_takes_nothing_unknown() -> None:
    with pytest.raises(ValidationError, match="tokn"):
        RegisterRequest.model_validate({"service_id": "2.1", "tokn": 0, "token": 0})


@pytest.mark.parametrize("token", [0, 17, None, "own"])
def test_the_tokens_one_can_give(token: object) -> None:
    assert RegisterRequest.model_validate({"service_id": "2.1", "token": token}).token == token


@pytest.mark.parametrize("token", [-1, 1 << 32, "17", True, 1.0, "mine"])
def test_the_tokens_one_cannot_give(token: object) -> None:
    with pytest.raises(ValidationError):
        RegisterRequest.model_validate({"service_id": "2.1", "token": token})


def test_a_token_must_be_said_even_when_it_is_none() -> None:
    with pytest.raises(ValidationError, match="token"):
        RegisterRequest.model_validate({"service_id": "2.1"})
