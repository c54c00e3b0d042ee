"""What is known of one process."""

from __future__ import annotations

from launcher.plan.spec import Kind, LifecycleSettings, ProcessSpec, ReadyBy


def test_a_service_id_is_group_and_instance() -> None:
    spec = ProcessSpec(
        "mail.3", "mail", Kind.SERVICE, (), {}, ".", LifecycleSettings(), ReadyBy.BUS, instance=3, group=2
    )
    assert spec.service_id == "2.3"
    foreign = ProcessSpec("web.1", "web", Kind.COMMAND, (), {}, ".", LifecycleSettings(), ReadyBy.SPAWN)
    assert foreign.service_id is None
