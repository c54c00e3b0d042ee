from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from luabus.visible import visible, visible_json, visible_values

EVIL = "zz\nERROR   luabus.router: two masters\r\x1b[2J\x1b]0;own\x07\u202e\x9b31m\u2028\x85\x7f\ud800\u200b"


def test_words_stay_as_they_are() -> None:
    for text in ("mail.1", "信件 服务", "全角\u3000空格", "naïve «quotes»", "\U0001f600", "", "a\\nb"):
        assert visible(text) == text


def test_what_drives_a_terminal_or_breaks_a_line_is_written_out() -> None:
    assert visible("a\nb") == "a\\nb"
    assert visible("\x1b[2J") == "\\x1b[2J"
    assert visible("\x9b31m\u202e") == "\\x9b31m\\u202e"


def test_no_control_no_format_mark_and_no_line_break_is_left_of_all_there_are() -> None:
    for code in range(sys.maxunicode + 1):
        letter = chr(code)
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            shown = visible(f"a{letter}b")
            assert shown.isprintable(), hex(code)
            assert len(shown.splitlines()) == 1


def test_values_are_cleaned_wherever_they_stand() -> None:
    assert visible_values({"a\n": ["b\x1b", {"c": ("\x9b", 1, None, True)}]}) == {
        "a\\n": ["b\\x1b", {"c": ["\\x9b", 1, None, True]}]
    }


@pytest.mark.parametrize("value", [EVIL, {EVIL: [EVIL, 1.5, None]}, "信", "\U000e0041"])
def test_json_is_printable_and_reads_back_as_the_very_value(value: object) -> None:
    text = visible_json(value)
    assert text.isprintable()
    assert json.loads(text) == value
    assert visible_json("信件") == '"信件"'
