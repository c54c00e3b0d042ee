from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dashboard.http.tokens import (
    GUESS_EVERY_S,
    LONGEST_SESSION_S,
    SESSION_S,
    TOKEN_FILES,
    GuessLimit,
    Role,
    TokenFiles,
    Tokens,
    read_tokens,
)
from luabus.errors import ConfigError

NOW = 1_800_000_000.0
TOKENS = {Role.viewer: "v" * 43, Role.operator: "o" * 43, Role.admin: "a" * 43}


def test_tokens_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    tokens = read_tokens(tmp_path / "run")
    assert len(set(tokens.values())) == 3
    assert read_tokens(tmp_path / "run") == tokens
    for name in TOKEN_FILES.values():
        assert stat.S_IMODE((tmp_path / "run" / name).stat().st_mode) == 0o600


def test_a_token_that_is_there_is_taken(tmp_path: Path) -> None:
    (tmp_path / "dashboard.token").write_text("chosen-by-the-launcher\n")
    assert read_tokens(tmp_path)[Role.admin] == "chosen-by-the-launcher"


def test_a_token_within_reach_of_guessing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dashboard.token").write_text("secret\n")
    with pytest.raises(ConfigError, match="has 6 characters, at least 16 are needed"):
        read_tokens(tmp_path)


@pytest.mark.parametrize("left", ["", "\n"])
def test_an_empty_token_file_counts_as_missing(tmp_path: Path, left: str) -> None:
    for name in ("dashboard.token", "dashboard.viewer.token"):
        (tmp_path / name).write_text(left)
        (tmp_path / name).chmod(0o600)
    tokens = read_tokens(tmp_path)
    assert all(len(token) > 30 for token in tokens.values())
    assert read_tokens(tmp_path) == tokens


def test_a_run_dir_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be kept"):
        read_tokens(tmp_path / "file")


def test_each_token_is_its_role() -> None:
    keys = Tokens(TOKENS)
    assert [keys.role_of(token) for token in TOKENS.values()] == list(TOKENS)
    assert [keys.role_of(token) for token in ("", "x", "a" * 42, "é", "\udcff")] == [None] * 5


def test_a_session_lasts_as_long_as_it_says() -> None:
    keys = Tokens(TOKENS)
    cookie = keys.session(Role.operator, NOW)
    session = keys.session_of(cookie, NOW)
    assert session is not None
    assert (session.role, session.began, session.left_s) == (Role.operator, NOW, SESSION_S)
    assert keys.session_of(cookie, NOW + SESSION_S + 1) is None


def test_a_session_that_is_renewed_stays_the_same_and_has_an_end_all_the_same() -> None:
    keys = Tokens(TOKENS)
    at = NOW
    session = first = keys.session_of(keys.session(Role.viewer, NOW), NOW)
    assert first is not None
    while session is not None:
        assert (session.name, session.began) == (first.name, NOW)
        at += SESSION_S - 10
        session = keys.session_of(keys.session(Role.viewer, at, session), at)
    assert LONGEST_SESSION_S <= at - NOW < LONGEST_SESSION_S + SESSION_S


def test_a_token_that_is_replaced_counts_at_once_and_ends_its_sessions(tmp_path: Path) -> None:
    tokens = Tokens({})
    files = TokenFiles(tmp_path, tokens)
    old = (tmp_path / "dashboard.token").read_text().strip()
    admin, viewer = (tokens.session(role, NOW) for role in (Role.admin, Role.viewer))
    files.look(NOW)
    assert tokens.session_of(admin, NOW) is not None
    (tmp_path / "dashboard.token").write_text("another-token-of-a-person")
    files.look(NOW + 0.1)
    assert tokens.role_of(old) is Role.admin  # it is not looked at each time
    files.look(NOW + 2)
    assert tokens.role_of("another-token-of-a-person") is Role.admin
    assert tokens.role_of(old) is None
    assert tokens.session_of(admin, NOW) is None
    assert tokens.session_of(viewer, NOW) is not None


@pytest.mark.parametrize("damage", ["", "short", None])
def test_a_token_that_cannot_be_used_leaves_the_one_of_before(tmp_path: Path, damage: str | None) -> None:
    tokens = Tokens({})
    files = TokenFiles(tmp_path, tokens)
    path = tmp_path / "dashboard.token"
    old = path.read_text().strip()
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    files.look(NOW)
    assert tokens.role_of(old) is Role.admin
    assert tokens.role_of("") is None
    if damage is None:
        assert path.read_text().strip() == old, "written anew"


def test_tokens_are_neither_read_nor_made_through_links(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("a" * 40)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "dashboard.token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link or no regular file"):
        read_tokens(run_dir)


def test_a_session_that_was_touched_is_none() -> None:
    keys = Tokens(TOKENS)
    cookie = keys.session(Role.viewer, NOW)
    changed = [
        "",
        ".",
        "admin" + cookie[6:],
        cookie[:-1] + "0",
        cookie + "x",
        "a.b.c.d",
        cookie.replace(".", "-"),
    ]
    changed += [
        f"viewer.{int(NOW) + 10**9}.{cookie.split('.', 2)[2]}",
        "nobody.1.2.3",
        f"{cookie[:-3]}\udcff",
    ]
    for one in changed:
        if one != cookie:
            assert keys.session_of(one, NOW) is None, one


def test_another_token_ends_the_sessions_of_its_role_only() -> None:
    before, after = Tokens(TOKENS), Tokens(TOKENS | {Role.viewer: "new"})
    assert after.session_of(before.session(Role.viewer, NOW), NOW) is None
    assert after.session_of(before.session(Role.admin, NOW), NOW) is not None


def test_guesses_run_out_and_come_back() -> None:
    limit = GuessLimit(guesses=3)
    for number in range(3):
        assert limit.wait_s("10.0.0.1", NOW) == 0
        limit.wrong("10.0.0.1", f"guess {number}", NOW)
    assert 0 < limit.wait_s("10.0.0.1", NOW) <= GUESS_EVERY_S
    assert limit.wait_s("10.0.0.2", NOW) == 0
    assert limit.wait_s("10.0.0.1", NOW + GUESS_EVERY_S) == 0


def test_the_same_wrong_token_again_is_no_new_guess() -> None:
    limit = GuessLimit(guesses=3)
    for _ in range(50):
        limit.wrong("10.0.0.1", "an old token", NOW)
    assert limit.wait_s("10.0.0.1", NOW) == 0


def test_it_remembers_a_bounded_number_of_addresses() -> None:
    limit = GuessLimit(guesses=1)
    for number in range(5000):
        limit.wrong(f"address {number}", "x", NOW)
    assert limit.wait_s("address 0", NOW) == 0
    assert limit.wait_s("address 4999", NOW) > 0
