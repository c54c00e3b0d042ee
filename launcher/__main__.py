"""`luabus-cluster` and `python -m launcher`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs one verb and exits with its code; see `cli/main.py` for the codes and the verbs."""
    from launcher.runtime.isolation import leave

    leave(os.getcwd())  # before more is imported
    from luabus import log_signals

    log_signals.survive()
    from launcher.runtime.stdio import last_word, secure

    stdout = secure()
    sys.exit(last_word(stdout, run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Runs one verb; its exit code."""
    from launcher.errors import LauncherError
    from launcher.runtime.stdio import OutputLost
    from luabus.errors import LuabusError

    try:
        plain = _plain_status(arguments)
        return _with_click(arguments) if plain is None else _status(*plain)
    except LauncherError as error:
        return _complain(arguments, error, error.exit_code)
    except LuabusError as error:
        return _complain(arguments, error, 1, type(error).__name__)
    except KeyboardInterrupt:
        return 130
    except OutputLost:
        return 0  # what was asked for is done; `last_word` tells of the loss, if it is one


def _plain_status(arguments: list[str]) -> tuple[str, bool] | None:
    """The file and `--json` of a plain `status`: asked so often, by machines too, that it does not wait for click."""
    rest = list(arguments)
    config = os.environ.get("LUABUS_CLUSTER_FILE") or "cluster.toml"
    if len(rest) >= 2 and rest[0] in ("-c", "--config"):
        config = rest[1]
        del rest[:2]
    return (config, len(rest) == 2) if rest in (["status"], ["status", "--json"]) else None


def _status(config: str, as_json: bool) -> int:
    from pathlib import Path

    from launcher.cli.status import show_status
    from launcher.runtime.config_file import meant

    return show_status(meant(Path(config)), as_json=as_json)


def _with_click(arguments: list[str]) -> int:
    import click

    from launcher.cli.main import cli

    try:
        code = cli.main(arguments, prog_name="luabus-cluster", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        from luabus.visible import visible

        text = error.format_message()
        _answer(arguments, "UsageError", text)
        if not isinstance(
            error, click.MissingParameter
        ):  # it quotes nobody, and may list what to choose from
            text = visible(text)
        shown = (
            click.UsageError(text, error.ctx)
            if isinstance(error, click.UsageError)
            else click.ClickException(text)
        )
        shown.show(sys.stderr)
        return error.exit_code


def _complain(arguments: list[str], error: Exception, code: int, kind: str = "") -> int:
    from launcher.cli.terminal import Style
    from launcher.errors import told

    _answer(arguments, type(error).__name__, str(error))
    text = f"{kind}: {told(error)}" if kind else told(error)
    sys.stderr.write(f"{Style.of(sys.stderr)('luabus-cluster', 'bold')}: {text}\n")
    return code


def _answer(arguments: list[str], kind: str, message: str) -> None:
    """Who asked for JSON gets the error as JSON; `call` has no such option, what looks like one is an argument to the call."""
    if "--json" in arguments and "call" not in arguments:
        import contextlib
        import json

        from launcher.runtime.stdio import OutputLost

        with contextlib.suppress(OutputLost):
            sys.stdout.write(json.dumps({"error": {"type": kind, "message": message}}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
