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
        from launcher.cli.usage_errors import sentence_of
        from launcher.errors import UsageError

        if not arguments:
            sys.stdout.write(error.format_message() + "\n")
        return _complain(arguments, UsageError(sentence_of(error, arguments, cli)), error.exit_code)


def _complain(arguments: list[str], error: Exception, code: int, kind: str = "") -> int:
    """Each line on stderr says who speaks. Who asked for JSON gets the error as an answer, too."""
    from launcher.cli.terminal import Style
    from launcher.errors import told

    if "--json" in arguments and "--json" not in _after_dashes(arguments):
        from launcher.cli.answers import answer_of, print_answer

        print_answer(answer_of(error))
    who = Style.of(sys.stderr)("luabus-cluster", "bold")
    text = ": ".join(part for part in (kind, told(error)) if part)
    sys.stderr.write("".join(f"{who}: {line}\n" for line in text.split("\n")))
    return code


def _after_dashes(arguments: list[str]) -> list[str]:
    return arguments[arguments.index("--") :] if "--" in arguments else []


if __name__ == "__main__":
    main()
