from __future__ import annotations

from dashboard.model.requests import CallRequest
from dashboard.views.request_text import called


def test_a_request_is_one_line_with_its_arguments_shortened() -> None:
    request = CallRequest(route="hash:mail:alice", method="echo", args=("<b>", 1))
    assert str(called(request)) == 'request echo("<b>", 1) to hash:mail:alice'
    long = CallRequest(route="random:mail", method="echo", args=("x" * 1000,), one_way=True)
    assert str(called(long)).startswith('send echo("xxx')
    assert len(str(called(long))) < 200
