"""On which line a key stands."""

from __future__ import annotations

import pytest

from launcher.config.positions import key_lines, locate

TEXT = '''\
[cluster] # comment
name = "x"
"quoted.key" = 1

[services.mail]
command = [
    "a = 1",
]
restart.policy = "never"
text = """
inside = 1
"""
after = 2
[services."a.b".restart]
backoff = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("cluster",), 1), (("cluster", "name"), 2), (("cluster", "quoted.key"), 3), (("services", "mail"), 5),
        (("services", "mail", "command"), 6), (("services", "mail", "command", 0), 6), (("services", "mail", "restart"), 9),
        (("services", "mail", "restart", "policy"), 9), (("services", "mail", "after"), 13), (("services", "a.b"), 14),
        (("services", "a.b", "restart", "backoff"), 15), (("services", "mail", "unknown"), 5), (("nothing",), None),
        (("services", "mail", "inside"), 5),
    ],
)  # fmt: skip
def test_a_key_is_found_or_what_is_around_it(path: tuple[str | int, ...], line: int | None) -> None:
    assert locate(key_lines(TEXT), path) == line


def test_only_a_line_feed_ends_a_line() -> None:
    assert locate(key_lines('a = "x\u2028y\u0085z\x0c"\nb = 1\r\nc = 2\n'), ("c",)) == 3
