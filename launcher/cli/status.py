"""`status`, without click and without an event loop: the whole process has 150 ms."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from launcher.cli.terminal import Style
from launcher.errors import NoAnswer, NotRunning
from launcher.runtime.control_client import ask


def show_status(config: Path, *, as_json: bool) -> int:
    """Prints it; exit code 0 healthy, 1 not (or no answer), 3 not running."""
    try:
        found = ask(config, "status")
    except (NotRunning, NoAnswer) as error:
        if not as_json:
            raise
        state = "not running" if isinstance(error, NotRunning) else "not answering"
        found = {"state": state, "problems": [str(error)], "processes": []}
        sys.stdout.write(json.dumps(found) + "\n")
        return error.exit_code
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        from launcher.cli.tables import status_text

        sys.stdout.write(status_text(found, Style.of(sys.stdout)) + "\n")
    return 0 if found["state"] == "healthy" else 1
