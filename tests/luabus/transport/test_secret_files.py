"""Files with a secret or a key, read anew when they have changed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from luabus.errors import ConfigError
from luabus.protocol.keys import derive, format_key
from luabus.protocol.principal import CLIENT, Principal
from luabus.transport import secret_files
from luabus.transport.secret_files import KeyFile, SecretFile

OLD, NEW = b"the secret of old times", b"the secret of new times"
MAIL = Principal("service", "mail")


def replace(path: Path, data: bytes, age_s: float = 60.0) -> None:
    """As a careful program writes it; so long ago."""
    temporary = path.with_name("temporary")
    temporary.write_bytes(data)
    stamp = temporary.stat().st_mtime_ns - int(age_s * 1e9)
    os.utime(temporary, ns=(stamp, stamp))
    temporary.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    replace(tmp_path / "secret", OLD + b"\n")
    return tmp_path / "secret"


def test_the_next_secret_is_accepted_as_well_while_it_is_there(path: Path) -> None:
    file, after = SecretFile(path), path.with_name("secret.next")
    assert file.read().accepted == (OLD,)
    replace(after, NEW)
    assert file.read().accepted == (OLD, NEW)
    replace(after, NEW + b"\n" + OLD + b"\n")
    assert file.read().accepted == (OLD, NEW)
    replace(path, NEW)
    assert file.read().accepted == (NEW, OLD)
    after.unlink()
    assert file.read().accepted == (NEW,)


def test_the_newest_is_that_to_which_it_changes(path: Path) -> None:
    file, after = SecretFile(path), path.with_name("secret.next")
    assert file.read().newest == OLD
    for content in (NEW, NEW + b"\n" + OLD):
        replace(after, content)
        assert file.read().newest == NEW
    replace(path, NEW)
    assert (file.read().current, file.read().newest) == (NEW, NEW)


def test_a_file_that_is_written_in_place_at_the_same_moment_with_the_same_size_is_seen(path: Path) -> None:
    path.write_bytes(OLD)
    file = SecretFile(path)
    stamp = path.stat().st_mtime_ns
    assert file.read().accepted == (OLD,)
    path.write_bytes(NEW)
    os.utime(path, ns=(stamp, stamp))
    assert file.read().accepted == (NEW,)


def test_what_has_not_changed_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SecretFile(path)
    monkeypatch.setattr(secret_files, "read_secret", lambda path: pytest.fail("read again"))
    assert file.read().accepted == (OLD,)


@pytest.mark.parametrize("content", [b"", b"short", None])
def test_what_becomes_no_secret_changes_nothing_and_is_told_once(
    path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = SecretFile(path)
    if content is None:
        path.unlink()
    else:
        replace(path, content)
    with caplog.at_level(logging.ERROR, "luabus.security"):
        assert [file.read().accepted for _ in range(3)] == [(OLD,)] * 3
    assert len(caplog.records) == 1
    assert "what it held before is used" in caplog.text
    replace(path, NEW)
    assert file.read().accepted == (NEW,)


@pytest.mark.parametrize("content", [b"", b"   \n", b"fifteen bytes.."])
def test_at_first_a_short_secret_is_refused(path: Path, content: bytes) -> None:
    replace(path, content)
    with pytest.raises(ConfigError, match="secret"):
        SecretFile(path)
    replace(path, OLD)
    replace(path.with_name("secret.next"), content or b"x")
    if content.strip():
        with pytest.raises(ConfigError, match="16 bytes"):
            SecretFile(path)


def test_two_files_that_change_while_they_are_read_are_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two reads the old secret has gone from one file to the other: neither may be missed."""
    file, after = SecretFile(path), path.with_name("secret.next")
    replace(after, NEW)
    reads: list[str] = []

    def read_next(next_path: Path) -> tuple[bytes, ...]:
        if not reads:
            replace(after, OLD)
            replace(path, NEW)
        reads.append("")
        return original(next_path)

    original = secret_files.read_next
    monkeypatch.setattr(secret_files, "read_next", read_next)
    assert file.read().accepted == (NEW, OLD)
    assert len(reads) == 2


def test_a_key_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "mail.key"
    replace(path, format_key(MAIL, derive(OLD, MAIL)).encode() + b"\n")
    file = KeyFile(path)
    assert (file.read().principal, file.read().key) == (MAIL, derive(OLD, MAIL))
    replace(path, format_key(CLIENT, derive(NEW, CLIENT)).encode())
    assert (file.read().principal, file.read().key) == (CLIENT, derive(NEW, CLIENT))


@pytest.mark.parametrize("content", [b"", b"client", b"\xff\xfe", b"client 00", OLD])
def test_a_key_file_that_holds_none_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mail.key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"what the key file .* holds is not one line") as caught:
        KeyFile(path)
    assert "old times" not in str(caught.value)


@pytest.mark.parametrize("path", [".", "/", ".."])
def test_a_folder_is_no_secret(path: str) -> None:
    with pytest.raises(ConfigError):
        SecretFile(path)
