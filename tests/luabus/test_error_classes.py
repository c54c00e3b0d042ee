"""What classes of errors hold; `tests/luabus/test_errors.py` has them travel, be pickled and copied."""

from __future__ import annotations

from luabus.error_classes import annotated, builtin_of, init_arguments, is_importable, may_arrive, plain
from luabus.errors import LuabusError
from tests.support.hostile import Never, NoField, Unspeakable


class Full(LuabusError, OSError):
    pass


class Ends(LuabusError, SystemExit):
    pass


def test_fields_are_what_a_class_declares_and_what_its_init_takes() -> None:
    assert list(annotated(NoField)) == ["user"]
    assert list(init_arguments(Never)) == ["user", "limit"]
    assert list(init_arguments(NoField)) == []


def test_an_instance_is_made_by_the_builtin_class() -> None:
    assert builtin_of(Full) is OSError
    assert builtin_of(NoField) is Exception
    assert may_arrive(Full)
    assert not may_arrive(Ends)


def test_what_another_process_can_import() -> None:
    class Local(LuabusError):
        pass

    assert is_importable(Full)
    assert not is_importable(Local)


def test_a_value_that_cannot_be_told_is_said_to_be_so() -> None:
    assert plain({Unspeakable(): 1, "a": (1,)}) == {
        "(a Unspeakable whose text cannot be had: Abort)": 1,
        "a": [1],
    }
