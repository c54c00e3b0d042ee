from __future__ import annotations

import subprocess
import sys

import pytest

import luabus


def test_every_public_name_is_there_and_listed() -> None:
    for name in luabus.__all__:
        assert getattr(luabus, name) is not None
    assert set(luabus.__all__) <= set(dir(luabus))
    assert list(luabus.__all__) == sorted(luabus.__all__)


def test_what_was_asked_for_is_public() -> None:
    assert {"create_socket_mgr", "connect", "Service", "Router", "caller", "hash_key", "ServiceId"} <= set(
        luabus.__all__
    )


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'luabus' has no attribute 'nothing'"):
        luabus.nothing  # noqa: B018


def test_importing_it_costs_next_to_nothing() -> None:
    """Nothing of asyncio, msgpack or pydantic is loaded before it is needed."""
    code = "import sys, luabus; print([m for m in ('asyncio', 'msgpack', 'pydantic', 'aiohttp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_star_import_gives_the_public_names() -> None:
    found: dict[str, object] = {}
    exec("from luabus import *", found)
    assert set(luabus.__all__) <= set(found)
