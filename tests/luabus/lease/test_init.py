from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from luabus.errors import ConfigError
from luabus.lease import open_store

NOWHERE = {
    "sqlite": "sqlite:////tmp/lease.db",
    "postgresql": "postgresql://me:hunter2@127.0.0.1:1/db",
    "postgres": "postgres://me:hunter2@127.0.0.1:1/db",
    "redis": "redis://me:hunter2@127.0.0.1:1/0",
    "rediss": "rediss://me:hunter2@127.0.0.1:1/0",
    "etcd": "etcd://me:hunter2@127.0.0.1:1",
    "etcds": "ETCDS://me:hunter2@127.0.0.1:1,127.0.0.1:2",
}


@pytest.mark.parametrize("url", NOWHERE.values(), ids=NOWHERE)
async def test_opening_connects_to_nothing_and_shows_no_credentials(url: str) -> None:
    store = open_store(url)
    assert url.partition("//")[2].rpartition("@")[2].rstrip("/") in store.address
    assert "hunter2" not in store.address
    assert "hunter2" not in repr(store)
    await store.close()


def test_a_relative_path_is_where_the_process_was_when_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("sqlite:///run/lease.db").address == f"sqlite:///{tmp_path}/run/lease.db"
    assert open_store("sqlite:////run/lease.db").address == "sqlite:////run/lease.db"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("mysql://me:hunter2@host/db", "allowed: sqlite:///PATH, postgresql://, redis://, etcd://"),
        ("postgre://me:hunter2@host/db", r"did you mean postgres(ql)?://...\?"),
        ("sqlite", "did you mean sqlite://"),
        ("lease.db", "allowed: sqlite:///PATH"),
        ("sqlite://", "names no file: write sqlite:///PATH"),
        ("sqlite://lease.db", "names no file"),
        ("redis://host/not-a-number?db=x", "redis://host"),
    ],
)
def test_a_url_that_is_not_understood(url: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.key == "lease.store"


@pytest.mark.parametrize(
    ("scheme", "library", "extra"),
    [("postgresql", "psycopg", "postgresql"), ("redis", "redis", "redis"), ("etcd", "aiohttp", "etcd")],
)
def test_a_missing_client_library_is_named_with_the_extra_that_installs_it(
    scheme: str, library: str, extra: str
) -> None:
    """In a process of its own, where that package cannot be imported."""
    program = f"""
import sys
sys.modules[{library!r}] = None
from luabus.errors import ConfigError
from luabus.lease import open_store
try:
    open_store({NOWHERE[scheme]!r})
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"needs the Python package '{library}': pip install 'luabus[{extra}]'" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_the_embedded_store_needs_none_of_them() -> None:
    program = f"""
import sys
for library in ("psycopg", "redis", "aiohttp"):
    sys.modules[library] = None
from luabus.lease import open_store
print(open_store({NOWHERE["sqlite"]!r}).address)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == NOWHERE["sqlite"]
