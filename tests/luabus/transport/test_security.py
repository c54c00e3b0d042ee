"""What the two ends of a stream prove to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from luabus.environment import Environment
from luabus.errors import ConfigError
from luabus.transport.security import NO_SECURITY, Security


def test_a_secret_is_bytes_or_text_and_is_not_shown() -> None:
    assert Security.of("geheim") == Security.of(b"geheim") == Security(b"geheim")
    assert Security.of(None) == NO_SECURITY
    assert "geheim" not in repr(Security.of("geheim"))


@pytest.mark.parametrize("secret", ["", b""])
def test_an_empty_secret_is_a_mistake(secret: bytes | str) -> None:
    with pytest.raises(ConfigError, match="the secret is empty"):
        Security.of(secret)


def test_what_is_given_in_code_wins_over_a_file_and_that_over_the_environments(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("in our file\n")
    theirs.write_text("in the environment's\n")
    environment = Environment(secret_file=str(theirs))
    assert Security.given(environment, "in code", ours) == Security(b"in code")
    assert Security.given(environment, None, ours) == Security(b"in our file")
    assert Security.given(environment) == Security(b"in the environment's")
    assert Security.given(Environment()) == NO_SECURITY
    with pytest.raises(ConfigError, match="cannot be read"):
        Security.given(environment, None, tmp_path / "absent")
