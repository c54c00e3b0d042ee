from __future__ import annotations

import pytest

from dashboard.api.audit import outcome
from dashboard.http.problems import ApiError
from luabus.errors import IdInUse, LuabusError, NotConnected, PeerLost, Refused, RequestTimeout
from luabus.messages import Message
from tests.dashboard.conftest import Dash


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused("no"), "refused"), (IdInUse("no"), "refused"), (NotConnected("nobody"), "refused"),
        (RequestTimeout("late"), "not known whether it was carried out"),
        (PeerLost("gone"), "not known whether it was carried out"),
        (ApiError(502, "mail.1 did not come up"), "failed"),
    ],
)  # fmt: skip
def test_what_became_of_it(error: LuabusError | ApiError, text: str) -> None:
    assert str(outcome(error)) == text


async def test_a_launcher_that_does_not_answer_has_perhaps_done_it(dash: Dash) -> None:
    dash.cluster.fails = RequestTimeout("no answer from kill within 30 s")
    assert (await dash.post("/api/v1/kill", {"name": "mail.1"})).status == 504
    (event,) = dash.context.journal.find(kind="kill")
    assert event.text == (
        "send SIGKILL to mail.1: not known whether it was carried out: no answer from kill within 30 s"
    )


async def test_what_was_done_is_found_by_its_verb_as_what_was_refused_is(dash: Dash) -> None:
    await dash.post("/api/v1/register", {"service_id": "mail.2", "token": 0})
    await dash.post("/api/v1/promote", {"service_id": "director.2"})
    said = {"by": "ann", "from": "command line"}
    done = [
        ("kill", Message("audit.kill", signal="SIGKILL", name="mail")),
        ("scale", Message("audit.scale", name="mail", instances=4)),
        ("register", Message("audit.vacate", name="mail")),
        ("stop", Message("audit.stop", name="mail")),
    ]
    for number, (kind, message) in enumerate(done, 10):
        event = {"id": number, "at": 2e9 + number, "kind": kind, "name": "mail", "message": message.as_map()}
        dash.cluster.events.append(event | said)
    await dash.look()
    dash.cluster.fails = Refused("no such entry")
    await dash.post("/api/v1/register", {"service_id": "mail.2", "token": 0})
    found = {kind: len(dash.context.journal.find(kind=kind)) for kind in dash.context.journal.kinds()}
    assert found | {"register": 3, "promote": 1, "kill": 1, "scale": 1, "stop": 1} == found
