"""One process of a measurement: `python -m benchmarks.child MODULE:FUNCTION OPTIONS`.

The function gets a `Control` and the options (JSON). It sets up its part, then serves commands: a JSON line on stdin
is a command, a JSON line on stdout its answer. It ends when stdin does, so no child outlives the one who started it.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from luabus import new_event_loop

Command = Callable[..., Any]


class Control:
    """The line to the one who measures."""

    def serve(self, commands: Mapping[str, Command], **ready: Any) -> None:
        """Say `ready`, and answer commands until stdin ends. For roles without an event loop."""
        self._say(ready)
        while (line := sys.stdin.readline()) != "":
            name, options = json.loads(line)
            try:
                answer = commands[name](**options)
            except Exception:
                self._say({"failed": traceback.format_exc()})
            else:
                self._say(answer or {})

    async def aserve(self, commands: Mapping[str, Command], **ready: Any) -> None:
        """`serve` for roles with an event loop; commands may be coroutines."""
        self._say(ready)
        loop = asyncio.get_running_loop()
        while (line := await loop.run_in_executor(None, sys.stdin.readline)) != "":
            name, options = json.loads(line)
            try:
                answer = await commands[name](**options)
            except Exception:
                self._say({"failed": traceback.format_exc()})
            else:
                self._say(answer or {})

    @staticmethod
    def _say(what: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def main() -> None:
    module, _, function = sys.argv[1].partition(":")
    role = getattr(importlib.import_module(module), function)
    options = json.loads(sys.argv[2])
    loop_kind = options.pop("loop", "uvloop")
    result = role(Control(), **options)
    if asyncio.iscoroutine(result):
        factory = new_event_loop if loop_kind == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(result)


if __name__ == "__main__":
    main()
