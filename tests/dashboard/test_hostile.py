"""Whoever can reach the port can send what he likes: it is refused, and never an error of ours."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.http.proxies import networks
from dashboard.http.tokens import Role
from tests.dashboard.conftest import TOKENS
from tests.dashboard.threaded import in_thread, scripted

PATIENCE_S = 20.0
HEADERS = [
    b"Accept", b"Accept-Encoding", b"Accept-Language", b"Authorization", b"Content-Encoding", b"Content-Type", b"Cookie",
    b"Forwarded", b"Host", b"If-Modified-Since", b"If-None-Match", b"If-Range", b"Last-Event-ID", b"Origin", b"Range",
    b"Referer", b"Sec-Fetch-Dest", b"Sec-Fetch-Site", b"X-Forwarded-For", b"X-Forwarded-Proto",
]  # fmt: skip
VALUES = [
    b"[::1", b"http://[::1", b"http://x:99999999", b"localhost:abc", b"x@localhost", b"null", b"\xff\xfe", b"{x}", b"{0}",
    b"\xe2\x80\xa8", b"\xd9\xa3", b"*", b'W/"', b'"a",', b"bytes=9-1", b"en;q=nan,zh;q=inf", b"Bearer \xff", b"Bearer",
    b"Basic x", b"gzip", b"br", b"identity", b"multipart/form-data", b"application/json; charset=nope", b"unknown, 1.2.3, [::1",
    b"application/x-www-form-urlencoded; charset=hex", b"multipart/form-data; boundary=x", b"same-origin", b"text/html",
    b"luabus_session_8070=admin.99999999999999999999999.a.b", b"luabus_session_8070=viewer.\xd9\xa3.a.\xff", b"a" * 4000,
]  # fmt: skip
PATHS = [
    b"/", b"/login", b"/login?next=http://[::1", b"/login?token=%ff&next=%ff", b"/logout", b"/healthz", b"/metrics", b"/events",
    b"/events?after=%7Bx%7D", b"/events/0", b"/events/%D9%A3", b"/events/" + b"9" * 5000, b"/connections?sort=%7Bx%7D",
    b"/processes/%ff", b"/processes/%7Bx%7D", b"/routes?group=%7Bx%7D&key=%ED%A0%80", b"/try?group=%00", b"/static/x/app.js",
    b"/nope%7Bx%7D", b"/api/v1/status", b"/api/v1/history/%7Bx%7D", b"/api/v1/history?before=x", b"/api/v1/kill",
    b"/api/v1/events", b"//evil", b"*", b"http://[::1/", b"/\xff",
]  # fmt: skip

PLAIN = {b"Host": b"localhost", b"Connection": b"close"}
RIGHT = b"Bearer " + TOKENS[Role.admin].encode()
PAGE = {b"Accept": b"text/html"}

value = st.one_of(
    st.sampled_from(VALUES), st.binary(max_size=40).map(lambda raw: raw.translate(None, b"\r\n\0"))
)
body = st.one_of(
    st.sampled_from([b"", b"token=%ff&next=http://[::1", b"{}", b'{"name":"\\ud800"}', b"a=b&" * 50]),
    st.binary(max_size=40),
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with in_thread(lambda: scripted(trusted_proxies=networks(["127.0.0.1"]))) as found:
        yield found


def status_of(port: int, method: bytes, path: bytes, headers: dict[bytes, bytes], body: bytes) -> int:
    """The status of the answer to exactly these bytes."""
    lines = [b"%s: %s" % pair for pair in headers.items()]
    request = b"\r\n".join(
        [b"%s %s HTTP/1.1" % (method, path), *lines, b"Content-Length: %d" % len(body), b"", body]
    )
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            version, status, _ = answer.readline().split(b" ", 2)
    assert version in (b"HTTP/1.1", b"HTTP/1.0")
    return int(status)


@pytest.mark.parametrize("known", [False, True])
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    method=st.sampled_from([b"GET", b"GET", b"POST", b"POST", b"HEAD", b"OPTIONS", b"PUT"]),
    path=st.sampled_from(PATHS),
    headers=st.dictionaries(st.sampled_from(HEADERS), value, max_size=3),
    page=st.booleans(),
    body=body,
)
def test_no_request_is_an_error_of_ours(
    port: int, known: bool, method: bytes, path: bytes, headers: dict[bytes, bytes], page: bool, body: bytes
) -> None:
    sent = PLAIN | ({b"Authorization": RIGHT} if known else {}) | (PAGE if page else {}) | headers
    assert status_of(port, method, path, sent, body) < 500


@pytest.mark.parametrize("page", [{}, PAGE])
@pytest.mark.parametrize("name", HEADERS)
def test_no_header_that_is_known_to_be_hard_is_an_error_of_ours(
    port: int, name: bytes, page: dict[bytes, bytes]
) -> None:
    for method, path in ((b"GET", b"/nope"), (b"POST", b"/login"), (b"POST", b"/api/v1/kill")):
        for hard in VALUES:
            status = status_of(port, method, path, PLAIN | page | {name: hard}, b"token=x")
            assert status < 500, (method, path, hard)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        (b"GET", b"/login?next=http://[::1", {}, 200),
        (b"GET", b"/healthz", {b"Host": b"[::1"}, 421),
        (b"GET", b"/healthz", {b"Host": b"\xff"}, 421),
        (b"POST", b"/login", {b"Origin": b"http://[::1"}, 403),
        (b"POST", b"/login", {b"Origin": b"\xff"}, 403),
        (b"POST", b"/login", {b"Content-Type": b"multipart/form-data"}, 415),
    ],
)
def test_it_is_refused_with_what_fits(
    port: int, method: bytes, path: bytes, headers: dict[bytes, bytes], status: int
) -> None:
    assert status_of(port, method, path, PLAIN | headers, b"") == status
