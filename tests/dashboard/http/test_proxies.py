from __future__ import annotations

import pytest

from dashboard.http.proxies import (
    UNKNOWN,
    believed,
    client_address,
    host_name,
    networks,
    same_origin,
    scheme_of,
)

TRUSTED = networks(["127.0.0.1", "::1", "10.0.0.0/8"])


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("192.0.2.9", ["203.0.113.1"], "192.0.2.9"),  # a stranger says what it likes
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.1"], "203.0.113.1"),
        ("127.0.0.1", ["1.1.1.1, 203.0.113.1"], "203.0.113.1"),  # what came before the first trusted hop is the client's word
        ("127.0.0.1", ["1.1.1.1", "203.0.113.1, 10.1.2.3"], "203.0.113.1"),
        ("127.0.0.1", ["10.0.0.7, 10.1.2.3"], "10.0.0.7"),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:127.0.0.1", ["::ffff:203.0.113.1"], "203.0.113.1"),
        ("127.0.0.1", ["203.0.113.1:4711"], "203.0.113.1"),
        ("127.0.0.1", ['"[2001:db8::1]:4711"'], "2001:db8::1"),
        ("127.0.0.1", ["203.0.113.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.1, <b>, 10.0.0.1"], "10.0.0.1"),
        (None, ["203.0.113.1"], UNKNOWN),
    ],
)  # fmt: skip
def test_from_where_is_the_last_hop_that_is_no_trusted_proxy(
    remote: str | None, forwarded: list[str], client: str
) -> None:
    assert client_address(remote, forwarded, TRUSTED) == client


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert client_address("127.0.0.1", ["203.0.113.1"], ()) == "127.0.0.1"
    assert scheme_of("http", "127.0.0.1", ["https"], ()) == "http"
    assert not believed("127.0.0.1", ())


def test_the_scheme_is_the_word_of_the_proxy_next_to_us() -> None:
    assert scheme_of("http", "127.0.0.1", ["https"], TRUSTED) == "https"
    assert scheme_of("http", "127.0.0.1", ["http, HTTPS"], TRUSTED) == "https"
    assert scheme_of("https", "127.0.0.1", ["http"], TRUSTED) == "http"
    assert scheme_of("http", "127.0.0.1", ["gopher"], TRUSTED) == "http"
    assert scheme_of("http", "127.0.0.1", [], TRUSTED) == "http"
    assert scheme_of("http", "192.0.2.1", ["https"], TRUSTED) == "http"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"), ("LocalHost:8070", "localhost"), ("[::1]:8070", "::1"), ("a.example", "a.example"),
        ("[::1", None), ("x@localhost", None), ("localhost/..", None), ("localhost:abc", None), ("", None), (None, None),
        ("localhost:8070\n", None), ("localhost:\u0663", None), ("\udcff", None), ("[::1%lo]", None), ("x y", None),
    ],
)  # fmt: skip
def test_a_host_is_a_name_or_an_address_and_perhaps_a_port(host: str | None, name: str | None) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8070", "localhost:8070", True),
        ("http://LOCALHOST:8070", "localhost:8070", True),
        ("http://localhost", "localhost:80", True),
        ("http://[::1]:8070", "[::1]:8070", True),
        ("https://localhost:8070", "localhost:8070", False),
        ("http://localhost:8071", "localhost:8070", False),
        ("http://localhost:8070/x", "localhost:8070", False),
        ("http://x@localhost:8070", "localhost:8070", False),
        ("http://[::1", "[::1", False), ("http://", "", False), ("null", "null", False), ("", "", False),
        ("http://\udcff", "\udcff", False), ("{x}", "{x}", False), ("http://localhost:99999999", "localhost", False),
    ],
)  # fmt: skip
def test_an_origin_is_ours_in_scheme_name_and_port(origin: str, host: str, same: bool) -> None:
    assert same_origin(origin, ["http"], host) is same


def test_behind_a_proxy_with_tls_the_port_is_that_of_the_scheme() -> None:
    assert same_origin("https://board.example", ["https"], "board.example")
    assert same_origin("https://board.example", ["http", "https"], "board.example:443")
    assert not same_origin("https://board.example", ["http"], "board.example")
