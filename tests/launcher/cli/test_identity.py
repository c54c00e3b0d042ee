from __future__ import annotations

import getpass

import pytest

from launcher.cli import identity


def test_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    assert identity.who(wait=True) == {"by": "ann", "from": "command line", "wait": True}

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert identity.who()["by"] == "somebody"
