import pytest

from examples import plain_streams


def test_players_meet_through_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = plain_streams.main()
    assert one.heard[1:] == [("moved", 2, 3.5, 7.25), ("wave",)]
    assert two.heard[1:] == [("moved", 1, 3.5, 7.25), ("wave",)]
    printed = capsys.readouterr().out
    assert printed.count("connect: ok") == 2
    assert "ProtocolError" not in printed
