from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luabus.errors import ConfigError
from luabus.secret import check_secret, read_secret


def test_the_secret_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\nthe cluster's secret \n")
    assert read_secret(str(file)) == b"the cluster's secret"


def test_a_secret_that_is_not_there_or_empty_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_secret(str(tmp_path / "none"))
    (tmp_path / "empty").write_bytes(b" \n")
    with pytest.raises(ConfigError, match="is empty"):
        read_secret(str(tmp_path / "empty"))
    (tmp_path / "short").write_bytes(b"fifteen bytes.. \n")
    with pytest.raises(ConfigError, match=r"short has 15 bytes; give at least 16 bytes") as caught:
        read_secret(str(tmp_path / "short"))
    assert "fifteen" not in str(caught.value)


@pytest.mark.parametrize("secret", [20, True, 1.5, ["a"] * 16, {"a": 1}, object()])
def test_a_secret_is_a_text_or_bytes(secret: Any) -> None:
    with pytest.raises(ConfigError):
        check_secret(secret)
