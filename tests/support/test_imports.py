from pathlib import Path

from tests.support.imports import Import, cycle, imports

SOURCE = """
import socket
from typing import TYPE_CHECKING
from luabus import codec, Service
if TYPE_CHECKING:
    from luabus.socket_mgr import SocketMgr
def later():
    from luabus.frames import HEADER
"""


def test_imports_in_functions_count_and_those_for_type_checkers_do_not(tmp_path: Path) -> None:
    path = tmp_path / "it.py"
    path.write_text(SOURCE, encoding="utf-8")
    assert imports("it", path, frozenset({"luabus.codec"})) == [
        Import("it", "socket", "", 2),
        Import("it", "typing", "TYPE_CHECKING", 3),
        Import("it", "luabus.codec", "", 4),
        Import("it", "luabus", "Service", 4),
        Import("it", "luabus.frames", "HEADER", 8),
    ]


def test_a_cycle_is_named() -> None:
    assert cycle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
