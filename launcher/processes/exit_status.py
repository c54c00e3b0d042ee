"""How a process ended, as people read it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExitStatus:
    """An exit code, or the signal that ended it (never both); `reason` when there was no process to end."""

    code: int | None = None
    signal: int | None = None
    reason: str = ""

    @classmethod
    def from_wait(cls, returncode: int) -> ExitStatus:
        """From `os.waitstatus_to_exitcode`: negative means a signal."""
        return cls(signal=-returncode) if returncode < 0 else cls(code=returncode)

    @property
    def success(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        if self.signal is not None:
            return signal_name(self.signal)
        if self.code is not None:
            return f"exit code {self.code}"
        return self.reason or "unknown end"

    def as_map(self) -> dict[str, Any]:
        """`{"code", "signal", "text"}`; the signal by name."""
        name = None if self.signal is None else signal_name(self.signal)
        return {"code": self.code, "signal": name, "text": str(self)}


def signal_name(number: int) -> str:
    """`SIGKILL`; `signal 40` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_number(name: str) -> int:
    """From `SIGKILL`, `KILL`, `kill` or `9`. Raises ValueError that lists the usual names."""
    text = name.strip().upper()
    if text.isascii() and text.isdigit() and 0 < int(text) < 65:
        return int(text)
    if not text.startswith("SIG"):
        text = f"SIG{text}"
    try:
        return int(signal.Signals[text])
    except KeyError:
        from difflib import get_close_matches  # only where there is an error: it costs milliseconds

        close = get_close_matches(text, [one.name for one in signal.Signals], n=1, cutoff=0.75)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise ValueError(f"there is no signal {name!r}; usual are {', '.join(USUAL)}{hint}") from None


_USUAL = {"SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGSTOP", "SIGCONT"}
USUAL = tuple(one.name for one in signal.Signals if one.name in _USUAL)
"""What people send, as far as this system has it."""
