"""leases/NAME/lease.db: the lease of a service that runs as another user and so does not get into run_dir.

Its folder is that user's own. So that it can be reached run_dir may be passed through then (0711), not listed; everything else in
it is closed to others as ever.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from launcher.processes.users import Identity, UserError, identity
from launcher.runtime.run_dir import RunDir
from luabus.private_files import NotOurs, open_private, private_folder

LEASE: Final = "LUABUS_LEASE"


def lease_file(run_dir: Path, service: str) -> Path:
    """Where the lease of a service that runs as another user lies."""
    return run_dir / "leases" / service / "lease.db"


def is_within(url: str, run_dir: Path) -> bool:
    """Whether a lease's URL means a file in run_dir."""
    return url.startswith("sqlite:///") and run_dir in Path(url.removeprefix("sqlite:///")).parents


def is_made(url: str) -> bool:
    """Whether there is a file; whoever only looks makes none, for its owner could not write it."""
    file = Path(url.removeprefix("sqlite:///"))
    return file.is_file() and not file.is_symlink()


def stores(url: str, run_dir: Path, users: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Which services have their leases where: URLs, and for each the services; `users` is whom each service runs as."""
    found: dict[str, list[str]] = {url: []}
    for service, user in users.items():
        own = is_within(url, run_dir) and user is not None and _is_another(user)
        found.setdefault(f"sqlite:///{lease_file(run_dir, service)}" if own else url, []).append(service)
    return found


def prepare(run_dir: RunDir, service: str, user: Identity) -> str:
    """Makes the folder of its lease, which belongs to that user; the lease's URL. Raises OSError."""
    file = lease_file(run_dir.path, service)
    folder = file.parent.parent
    folder.mkdir(mode=0o711, exist_ok=True)
    for passed_through in (run_dir.path, folder):
        private_folder(passed_through, passed_through=True)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if (found := file.parent.lstat()).st_uid != user.uid:
        os.chown(file.parent, user.uid, user.gid, follow_symlinks=False)
        for name in os.listdir(
            file.parent
        ):  # the lease stays the same when the service becomes another user's
            _give(file.parent / name, found.st_uid, user)
    return f"sqlite:///{file}"


def _give(file: Path, former: int, user: Identity) -> None:
    """A file of the former owner's becomes the user's; not what he only had a link to."""
    try:
        descriptor = open_private(file, os.O_RDONLY, owners=(former,))
    except NotOurs:
        return
    try:
        found = os.fstat(descriptor)
        if found.st_uid == former and found.st_nlink == 1:
            os.fchown(descriptor, user.uid, user.gid)
    finally:
        os.close(descriptor)


def _is_another(user: str) -> bool:
    try:
        return identity(user) is not None
    except UserError:
        return True
