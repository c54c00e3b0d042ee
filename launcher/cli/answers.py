"""What a verb answers with `--json`: one object that says whether it came about, whatever the verb.

{"ok": true, "text": "mail has 5 instances", ...}       and what the verb has to tell
{"ok": false, "text": "...", "error": {"type": "NotRunning", "code": null, "message": "..."}}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from launcher.runtime.stdio import OutputLost
from luabus.errors import LuabusError, explain
from luabus.messages import VERBATIM


def error_answer(kind: str, text: str, code: str | None = None, **more: Any) -> dict[str, Any]:
    """What did not come about, and why; `code` as docs/design.md has them, None for what has none."""
    return {"ok": False, "text": text, "error": {"type": kind, "code": code, "message": text}, **more}


def answer_of(error: Exception) -> dict[str, Any]:
    """`error_answer` of an error."""
    message = explain(error) if isinstance(error, LuabusError) else getattr(error, "reported", None)
    code = message.code if message is not None and message.code != VERBATIM else None
    return error_answer(type(error).__name__, str(error), code)


def print_answer(answer: Mapping[str, Any]) -> None:
    """On stdout, in one line. Where nobody reads it any more, nothing happens."""
    with suppress(OutputLost):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
