from __future__ import annotations

import re

import pytest

from dashboard.texts import CATALOGUES, Text, choose_language


def test_a_text_is_its_template_with_its_values() -> None:
    inner = Text("{count} more", count=2)
    assert str(Text("{name} and {rest}", name="mail.1", rest=inner)) == "mail.1 and 2 more"
    assert Text("a {b}", b=1) == Text("a {b}", b=1)
    assert len({Text("a {b}", b=1), Text("a {b}", b=1), Text("a {b}", b=2)}) == 2


def test_a_value_with_braces_is_no_template() -> None:
    assert str(Text("{name} runs", name="{evil}")) == "{evil} runs"


def test_an_unknown_language_falls_back_to_english() -> None:
    assert Text("Log in").to("tlh") == "Log in"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB,zh;q=0.5", "en"), ("fr,zh;q=0.1", "zh"),
        ("zh;q=0", "en"), ("zh;q=oops", "en"), ("*", "en"), ("en;q=0.2, zh;q=0.9", "zh"),
    ],
)  # fmt: skip
def test_the_language_is_the_browsers_first_that_we_know(header: str, chosen: str) -> None:
    assert choose_language(header) == chosen


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_translations_use_the_same_values(language: str) -> None:
    for english, text in CATALOGUES[language].items():
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", text)), english
