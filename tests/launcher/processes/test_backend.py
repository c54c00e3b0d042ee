"""The interface: what is started and what of it can be done, is the same for the real backend and the one of tests."""

from __future__ import annotations

import pytest

from launcher.processes.backend import Backend, Handle, SpawnRequest
from launcher.processes.local import LocalBackend, _LocalHandle
from tests.support.fake_backend import FakeBackend, FakeProcess


@pytest.mark.parametrize(
    ("interface", "classes"), [(Backend, (LocalBackend, FakeBackend)), (Handle, (_LocalHandle, FakeProcess))]
)
def test_backends_have_what_the_interface_names(interface: type, classes: tuple[type, ...]) -> None:
    names = {name for name in vars(interface) if not name.startswith("_")} - {"identity"}
    assert names
    for implementation in classes:
        assert names <= set(dir(implementation))


def test_a_request_is_nobodys_unless_it_says_so() -> None:
    request = SpawnRequest(("x",), {}, "/")
    assert (request.owner, request.helper, request.user, request.nice) == ("", False, None, None)
