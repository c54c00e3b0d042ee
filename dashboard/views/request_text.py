"""A request that a person sent to a service, as it is written down."""

from __future__ import annotations

import json
from typing import Final

from dashboard.model.requests import CallRequest
from luabus.messages import Message

MOST_ARGUMENTS: Final = 160
"""Characters of a request's arguments that the event log keeps."""


def called(request: CallRequest) -> Message:
    """A request in one line: arguments shortened, for they may be long."""
    args = ", ".join(json.dumps(argument, ensure_ascii=False) for argument in request.args)
    shown = args if len(args) <= MOST_ARGUMENTS else args[: MOST_ARGUMENTS - 1] + "…"
    call = f"{request.method}({shown})"
    if request.one_way:
        return Message("audit.send-to", call=call, route=request.route)
    return Message("audit.request-to", call=call, route=request.route)
