from __future__ import annotations

import pytest
from pydantic import ValidationError

from dashboard.model.answers import Session


def test_what_goes_out_never_changes() -> None:
    row = Session(role="viewer")
    with pytest.raises(ValidationError):
        row.role = "admin"
