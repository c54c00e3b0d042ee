"""Who asks, as the event log and the audit name them."""

from __future__ import annotations

import getpass
from typing import Any


def who(*, wait: bool = False) -> dict[str, Any]:
    """Who asks, for the event log; `wait` asks for an answer when the work is done."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return {"by": user, "from": "command line", "wait": wait}
