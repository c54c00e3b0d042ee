"""`python -m luabus`: run a router, or one instance of a service, by hand or by the launcher."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from luabus import descriptors, log_signals, shutdown_signals
from luabus.environment import Environment
from luabus.errors import ConfigError, LuabusError
from luabus.host_addresses import parse_address
from luabus.limits import DEFAULT_FRAME_LIMIT, DEFAULT_PORT, DRAIN_TIMEOUT_S
from luabus.log_setup import setup_logging
from luabus.quantities import parse_size
from luabus.visible import visible

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_LOADED = 3
"""The service's module cannot be loaded: trying again will not help, and a supervisor need not."""

_LAST_MOMENTS_S: Final = 4.0
"""After its drain time-out a router is gone at the latest."""

LOADED_LATE: Final = ("uvloop", "zstandard")
"""Packages that luabus imports when it first needs them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the part of a cluster that the command line names; exits with its code."""
    log_signals.survive()
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    command(**options)


def _parser() -> argparse.ArgumentParser:
    # argparse, because every process of a cluster starts here, and click takes four times as long to import.
    parser = argparse.ArgumentParser(
        prog="python -m luabus",
        description="Run one part of a luabus cluster. For a whole cluster use luabus-cluster.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    router_parser = commands.add_parser(
        "router",
        allow_abbrev=False,
        help="run a router",
        description="Run a router until SIGTERM or Ctrl-C; it drains before it goes.",
    )
    router_parser.set_defaults(command=router)
    router_parser.add_argument(
        "--name", default="router.1", help="router.N; every router has its own (default: %(default)s)"
    )
    router_parser.add_argument(
        "--listen", default=f"127.0.0.1:{DEFAULT_PORT}", metavar="HOST:PORT",
        help="port 0 = any free one (default: %(default)s)",
    )  # fmt: skip
    router_parser.add_argument(
        "--cluster", default="", metavar="FILE",
        help="groups and who may call whom, as the launcher writes it (cluster.json in run_dir)",
    )  # fmt: skip
    router_parser.add_argument(
        "--secret-file", default="", metavar="PATH",
        help="the cluster's secret (default: $LUABUS_SECRET_FILE; none = no authentication)",
    )  # fmt: skip
    router_parser.add_argument(
        "--advertise", default="", metavar="HOST:PORT,...",
        help="how others reach it beside where it listens (NAT, a proxy); connections made to anywhere else are refused",
    )  # fmt: skip
    router_parser.add_argument(
        "--frame-limit", type=_size, metavar="SIZE",
        help=f"of the longest message: bytes, or such as 4MiB (default: {DEFAULT_FRAME_LIMIT})",
    )  # fmt: skip
    router_parser.add_argument(
        "--buffer", type=_size, metavar="SIZE",
        help="kept for a connection that does not read (default: 8 MiB)",
    )  # fmt: skip
    router_parser.add_argument(
        "--waiting-limit", type=_size, metavar="SIZE",
        help="kept for all connections together that do not read (default: 256 MiB)",
    )  # fmt: skip
    router_parser.add_argument(
        "--allow-plaintext", action="store_true", help="listen beyond loopback although nothing is encrypted"
    )
    run_parser = commands.add_parser(
        "run",
        help="run one instance of a service",
        description="Run the service at MODULE:ATTRIBUTE, such as examples.mail:service. Its group, instance, routers and "
        "secret come from the LUABUS_* environment. Exit codes: 0 stopped in order, 1 failed, 2 bad configuration, "
        "3 the module cannot be loaded.",
    )
    run_parser.set_defaults(command=run)
    run_parser.add_argument(
        "--folder", default="", metavar="PATH",
        help="modules are found here, too, after the current folder; the launcher gives that of cluster.toml",
    )  # fmt: skip
    run_parser.add_argument("target", metavar="MODULE:ATTRIBUTE")
    return parser


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def router(
    name: str,
    listen: str,
    cluster: str,
    secret_file: str,
    advertise: str,
    frame_limit: int | None,
    buffer: int | None,
    waiting_limit: int | None,
    allow_plaintext: bool,
) -> None:
    """Run a router until SIGTERM or Ctrl-C."""
    from luabus.router.server import Router
    from luabus.transport.loops import run_program

    environment = _logging()
    try:
        host, port = parse_address(listen)
        options: dict[str, Any] = {
            "frame_limit": frame_limit,
            "buffer": buffer,
            "waiting_limit": waiting_limit,
        }
        if frame_limit is None:
            options["frame_limit"] = environment.frame_limit
        options = {key: value for key, value in options.items() if value is not None}
        server = Router(
            name, host=host, port=port, secret_file=secret_file or environment.secret_file,
            cluster=_document(cluster),
            advertise=[text.strip() for text in advertise.split(",") if text.strip()],
            allow_plaintext=allow_plaintext, **options,
        )  # fmt: skip
        descriptors.raise_limit()
        run_program(_serve(server))
    except ConfigError as error:
        _die(str(error), EXIT_USAGE)
    except OSError as error:
        _die(error.strerror or str(error), EXIT_FAILED)


def run(target: str, folder: str) -> None:
    """Run the service at MODULE:ATTRIBUTE."""
    environment = _logging()
    # Without links: one that leads to another release tomorrow must not mix that into a process of this one.
    folders = list(dict.fromkeys([os.getcwd(), *([os.path.realpath(folder)] if folder else [])]))
    _find_modules_in(folders, environment)
    if environment.debugged and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _breakpoint
    service = _load(target)
    try:
        service.run()
    except ConfigError as error:
        _die(str(error), EXIT_USAGE)
    except LuabusError as error:
        _die(f"{type(error).__name__}: {error}", EXIT_FAILED)


def _breakpoint(*, header: str | None = None) -> None:
    """As Python's own, but that Ctrl-C goes on to mean that the service shall stop."""
    import pdb

    debugger = pdb.Pdb(nosigint=True)
    if header is not None:
        debugger.message(header)
    debugger.set_trace(sys._getframe(1))


async def _serve(server: Any) -> None:
    stop = asyncio.Event()
    with shutdown_signals.hearing(stop.set, limit_s=DRAIN_TIMEOUT_S + _LAST_MOMENTS_S):
        await server.start()
        await stop.wait()
        await server.stop()


def _find_modules_in(folders: Sequence[str], environment: Environment) -> None:
    """Put the user's folders on sys.path: behind the standard library, so that a `calendar.py` of theirs hurts nobody, and
    before all that is installed, so that a `dashboard` of theirs is the one they mean."""
    library = os.path.dirname(os.__file__)
    standard = (library, os.path.join(library, "lib-dynload"))
    # PYTHONPATH puts it before the standard library, if that is how luabus was found.
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = [entry for entry in sys.path if (entry or os.getcwd()) not in (*folders, home)]
    behind = max((index + 1 for index, entry in enumerate(path) if entry in standard), default=0)
    if home in sys.path and home not in folders:
        path.insert(behind, home)
    sys.path[:] = path
    _load_what_is_shadowed(folders, environment)
    sys.path[behind:behind] = folders


def _load_what_is_shadowed(folders: Sequence[str], environment: Environment) -> None:
    """Import now what luabus would import later, and then find in the user's folders instead of site-packages."""
    for package in LOADED_LATE:
        if PathFinder.find_spec(package, folders) is not None:
            with contextlib.suppress(ImportError):
                importlib.import_module(package)
    if environment.lease and environment.route == "master":
        from luabus.lease import client_library, load_store

        with contextlib.suppress(ConfigError):  # the service tells it, should it need the store
            if PathFinder.find_spec(client_library(environment.lease), folders) is not None:
                load_store(environment.lease)


def _load(target: str) -> Any:
    """The service; on failure the traceback goes to stderr and the process ends with EXIT_NOT_LOADED."""
    from luabus.service.service import Service

    module_name, colon, attribute = target.partition(":")
    if not colon or not attribute:
        _die(f"{target!r} is not MODULE:ATTRIBUTE, such as examples.mail:service", EXIT_USAGE)
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        _leave_users_frames(error)
        logging.getLogger("luabus").critical("%s cannot be loaded", target, exc_info=error)
        sys.exit(EXIT_NOT_LOADED)
    service = getattr(module, attribute, None)
    if not isinstance(service, Service):
        services = sorted(name for name, value in vars(module).items() if isinstance(value, Service))
        hint = f"; it has: {', '.join(services)}" if services else ""
        what = "has no attribute" if service is None else "has something else than a luabus.Service at"
        _die(f"{module_name} {what} {attribute!r}{hint}", EXIT_NOT_LOADED)
    return service


def _leave_users_frames(error: BaseException | None) -> None:
    """Takes the frames of who imports out of its tracebacks, and of those behind it: the user wrote none of them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        kept = None
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            file = frame.f_code.co_filename
            if not (file.startswith("<frozen importlib") or file in (importlib.__file__, __file__)):
                kept = TracebackType(kept, frame, frame.f_lasti, line)
        error.__traceback__ = kept
        error = error.__cause__ or error.__context__


def _document(path: str) -> Any:
    """The cluster document in a file; None without one."""
    if not path:
        return None
    from luabus.routing.cluster_document import ClusterDocument

    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"the cluster's file {path} cannot be read: {reason}", key="cluster") from None
    try:
        return ClusterDocument.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}", key=error.key) from None


def _logging() -> Environment:
    try:
        environment = Environment.read()
        setup_logging(environment.log_level, supervised=environment.supervised)
    except ConfigError as error:
        _die(str(error), EXIT_USAGE)
    return environment


def _die(text: str, code: int) -> Any:
    sys.stderr.write(f"luabus: {visible(text)}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
