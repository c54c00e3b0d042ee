from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dashboard.http import ended_sessions
from dashboard.http.ended_sessions import EndedSessions
from dashboard.http.tokens import LONGEST_SESSION_S, Claims, Role

NOW = 1_800_000_000


def session(name: str, began: int = NOW) -> Claims:
    return Claims(Role.viewer, name, began, 3600)


def test_a_restart_revives_none(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    ended = EndedSessions(path)
    assert session("a") not in ended
    ended.add(session("a"), NOW)
    assert session("a") in ended
    again = EndedSessions(path)
    assert session("a") in again
    assert session("b") not in again
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_who_would_have_ended_by_itself_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = EndedSessions()
    ended.add(session("a"), NOW)
    ended.add(session("b", NOW + LONGEST_SESSION_S), NOW + LONGEST_SESSION_S)
    assert session("a") not in ended
    assert session("b") in ended
    monkeypatch.setattr(ended_sessions, "MOST", 3)
    for number in range(6):
        ended.add(session(f"{number}", NOW + LONGEST_SESSION_S + number), NOW + LONGEST_SESSION_S)
    assert [session(f"{number}") in ended for number in range(6)] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": "x"}', "5"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(damage)
    ended = EndedSessions(path)
    assert "begun anew" in caplog.text
    ended.add(session("a"), NOW)
    assert session("a") in EndedSessions(path)
