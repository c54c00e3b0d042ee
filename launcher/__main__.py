"""`luabus-cluster` and `python -m launcher`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs one verb and exits with its code; see `cli.py` for the codes."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    from launcher.errors import LauncherError

    try:
        return _dispatch(arguments)
    except LauncherError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be flushed into the closed pipe on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    import click

    from launcher.cli import cli
    from luabus.errors import LuabusError

    try:
        code = cli.main(arguments, prog_name="luabus-cluster", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except LuabusError as error:
        return _complain(f"{type(error).__name__}: {error}", 1)


def _complain(text: str, code: int) -> int:
    from launcher.style import Style

    sys.stderr.write(f"{Style.of(sys.stderr)('luabus-cluster', 'bold')}: {text}\n")
    return code


if __name__ == "__main__":
    main()
