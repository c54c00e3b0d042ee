"""The groups of a cluster and who may call whom, as routers are told."""

from __future__ import annotations

from typing import Any

import pytest

from luabus.errors import ConfigError
from luabus.routing.cluster_document import ClusterDocument, GroupFacts

TEXT = '{"groups": {"mail": [2, 3, "hash"]}, "access": {"default": "deny"}}'


def test_it_is_read_and_written() -> None:
    document = ClusterDocument.parse(TEXT)
    assert document.groups == {"mail": GroupFacts(2, 3, "hash")}
    assert document.access.default == "deny"
    assert ClusterDocument.of(document.as_map()) == document
    assert ClusterDocument.of({}) == ClusterDocument()


@pytest.mark.parametrize(
    "groups",
    [
        [], {"a": [2], "b": [2]}, {"a": [300, 1]}, {"a": [0, 1]}, {"a": [-1]}, {"a": [2, -1]}, {"a": [2, 70_000]},
        {"a": [True, 1]}, {"a": ["2", 1]}, {"a": [2.0, 1]}, {"a": [2, 1, "hush"]},
        {"a": [2, True]}, {"a": [2, 1.0]}, {"a": [2, 1, None]},
        {"a": [2, 1, "hash", 1]}, {"a": []}, {"a": 2}, {"": [2]}, {"a\n": [2]}, {"x" * 200: [2]}, {3: [2]},
    ],
)  # fmt: skip
def test_groups_that_cannot_be_are_refused(groups: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        ClusterDocument.of({"groups": groups})
    assert refused.value.key.startswith("groups")


@pytest.mark.parametrize("given", [None, 1, "x", [], {"group": {}}, {"groups": {}, "more": 1}])
def test_another_map_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError):
        ClusterDocument.of(given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":[2,1],"b":[2,3]}', "groups.b: group 2 is groups.a already"),
        ('{"a":[2,1],"a":[3,1]}', "'a' stands there twice"),
        ('{"a":[300,1]}', "found the group 300; allowed: 1 to 255"),
        ('{"a":[2,-1]}', "found -1 instances; allowed: 0 to 65535"),
        ('{"a":[]}', "is not a list such as"),
        ("[]", "is not a map such as"),
        ("[" * 100_000, "is not JSON such as"),
    ],
)
def test_a_text_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ClusterDocument.parse('{"groups": ' + text + "}")
    assert words in str(refused.value)


def test_how_many_instances_there_are_need_not_be_said() -> None:
    document = ClusterDocument.parse('{"groups": {"mail": [2], "box": [3, null, "hash"], "none": [4, 0]}}')
    assert [facts.instances for facts in document.groups.values()] == [None, None, 0]
