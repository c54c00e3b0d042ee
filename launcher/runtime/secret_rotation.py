"""Changing the cluster's secret while the cluster runs, by its files alone.

    secret   secret.next
    old      -             begin: a new one is made
    old      new           routers and launcher take both; each service's key is made anew
    new      new, old      they still take both, and whoever connects now uses the new one
    new      -             done

The files say how far it is: after a kill at any moment the next run goes on from there. Nobody is disconnected, and nobody
need be restarted: keys are read when a connection is made.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from launcher.errors import RunDirError
from launcher.runtime.run_dir import RunDir
from launcher.runtime.service_keys import ServiceKeys
from luabus.errors import ConfigError

GRACE_S: Final = 15.0
"""A connection that was begun with an old key is made or given up by then: connecting and the hand-shake take 5 s each."""

Tell = Callable[[str, str], None]
"""Told the name of each step and what it is, before it is done."""


def rotate(
    run_dir: RunDir, tell: Tell, grace_s: float = GRACE_S, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Gives the cluster a new secret, or ends a change that was begun. Raises `RunDirError`."""
    lock = run_dir.lock_rotation()
    try:
        old = run_dir.secret().decode()
        coming = _coming(run_dir)
        if not coming:
            tell("accept", "routers and launcher accept a new secret beside the present one")
            coming = [secrets.token_urlsafe(32)]
            _write(run_dir, run_dir.next_secret_file, coming)
        elif coming[0] != old:
            tell("accept", "a change of the secret was begun before; it is gone on with")
        new = coming[0]
        keys = ServiceKeys(run_dir)
        if new != old:
            tell("keys", "services get new keys")
            _renew(keys)
            tell("swap", "the new secret is the secret; the old one is still accepted")
            _write(run_dir, run_dir.next_secret_file, [new, old])
            _write(run_dir, run_dir.secret_file, [new])
        else:
            tell("swap", "a change of the secret was begun before: the new secret is in use")
        tell("wait", f"for {grace_s:g} s the old one is accepted from whoever is just connecting")
        sleep(grace_s)
        _renew(keys)  # a service that was started meanwhile may have been given an old one
        tell("done", "the old secret is accepted no longer")
        _remove(run_dir.next_secret_file)
    finally:
        lock.release()


def _coming(run_dir: RunDir) -> list[str]:
    try:
        return [secret.decode("ascii") for secret in run_dir.security().coming()]
    except (ConfigError, UnicodeDecodeError) as error:
        raise RunDirError(f"{run_dir.next_secret_file}: {error}; remove it to begin anew") from None


def _renew(keys: ServiceKeys) -> None:
    try:
        keys.renew()
    except OSError as error:
        raise RunDirError(f"a service's key cannot be written: {error.strerror or error}") from None


def _write(run_dir: RunDir, file: Path, lines: list[str]) -> None:
    try:
        run_dir.write(file, "\n".join(lines))
    except OSError as error:
        raise RunDirError(f"{file} cannot be written: {error.strerror or error}") from None


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise RunDirError(f"{file} cannot be removed: {error.strerror or error}") from None
