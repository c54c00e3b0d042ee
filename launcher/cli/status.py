"""`status`, without click and without an event loop: the whole process has 150 ms."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from launcher.cli.terminal import Style
from launcher.errors import NoAnswer, NotRunning
from launcher.runtime.control_client import ask
from luabus.messages import Message


def show_status(config: Path, *, as_json: bool) -> int:
    """Prints it; exit code 0 when the health is ok, 1 for anything else (and without an answer), 3 not running."""
    try:
        status = ask(config, "status")
    except (NotRunning, NoAnswer) as error:
        if not as_json:
            raise
        from luabus.cluster.health import launcher_silent

        state = "not running" if isinstance(error, NotRunning) else "not answering"
        health = launcher_silent(Message.verbatim(str(error))).as_map()
        status = {"state": state, "health": health, "problems": [str(error)], "processes": []}
        sys.stdout.write(json.dumps(status) + "\n")
        return error.exit_code
    if as_json:
        sys.stdout.write(json.dumps(status) + "\n")
    else:
        from launcher.cli.tables import status_text

        sys.stdout.write(status_text(status, Style.of(sys.stdout)) + "\n")
    return 0 if status["health"]["level"] == "ok" else 1
