"""Real lease servers for tests: PostgreSQL, Redis and etcd as processes of their own, on free ports, in a folder.

And a SQLite file with the same handles, so that one suite runs over all four.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

import psutil

from tests.support.ports import free_ports

READY_S = 30.0
POSTGRESQL = "/usr/lib/postgresql/15/bin"  # Debian keeps each version's programs in a folder of their own


class StoreServer(Protocol):
    """What a test does to a store from outside."""

    url: str

    def freeze(self) -> None:
        """Keep it from answering, without ending connections."""

    def thaw(self) -> None: ...


class SqliteFile:
    """A file whose lock somebody else can hold."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "made-on-first-use" / "lease.db"
        self.url = f"sqlite:///{self.path}"
        self._holder: sqlite3.Connection | None = None

    def freeze(self) -> None:
        self._holder = sqlite3.connect(self.path, isolation_level=None)
        self._holder.execute("BEGIN EXCLUSIVE")

    def thaw(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def is_locked(self) -> bool:
        """Whether somebody else keeps others from writing for longer than a write takes."""
        probe = sqlite3.connect(self.path, isolation_level=None, timeout=0.25)
        try:
            probe.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        finally:
            probe.close()
        return False


class LeaseServer:
    """A server process. `start` waits until it serves; `kill` is SIGKILL; it can be started again on the same data."""

    scheme: ClassVar[str]
    binary: ClassVar[str]

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="luabus-lease-"))
        self.port = free_ports()
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[psutil.Process] = []
        found = shutil.which(self.binary, path=f"{POSTGRESQL}:{os.environ['PATH']}")
        if found is None:
            raise RuntimeError(f"{self.binary} is not installed: run `make test`, which installs the servers")
        self.program = Path(found)
        self.as_user: dict[str, Any] = {}

    def start(self) -> None:
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self.as_user,
            )
        deadline = time.monotonic() + READY_S
        while not self.serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.binary} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def command(self) -> list[str]:
        raise NotImplementedError

    def serves(self) -> bool:
        raise NotImplementedError

    def kill(self) -> None:
        """kill -9, the children as well, and wait for their end."""
        self.thaw()
        for process in (family := self._family()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
            self._process = None
        psutil.wait_procs(family)

    def freeze(self) -> None:
        self._frozen = self._family()
        for process in self._frozen:
            process.suspend()

    def thaw(self) -> None:
        for process in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        self._frozen = []

    def remove(self) -> None:
        """Let it end by itself, as PostgreSQL must to remove its shared memory; then take the folder away."""
        self.thaw()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _family(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        main = psutil.Process(self._process.pid)
        return [main, *main.children(recursive=True)]


class PostgresServer(LeaseServer):
    scheme = "postgresql"
    binary = "postgres"
    password = "p@ss/w:rd"  # with characters that a URL must quote

    def __init__(self) -> None:
        super().__init__()
        self.url = f"postgresql://luabus:p%40ss%2Fw%3Ard@127.0.0.1:{self.port}/postgres"
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            entry = pwd.getpwnam("postgres")
            self.as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.data = self.folder / "data"
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)
        initdb = [
            self.program.with_name("initdb"),
            "-D",
            self.data,
            "-U",
            "luabus",
            "--no-sync",
            "--no-locale",
        ]
        options = ["-E", "UTF8", "--auth=scram-sha-256", f"--pwfile={password_file}"]
        subprocess.run([*initdb, *options], check=True, capture_output=True, cwd=self.folder, **self.as_user)

    def command(self) -> list[str]:
        # A server that was killed leaves its lock file; its pid may be another process's by now.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        settings = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.folder}",
        ]
        return [
            str(self.program),
            "-D",
            str(self.data),
            *(word for setting in settings for word in ("-c", setting)),
        ]

    def serves(self) -> bool:
        command = [self.program.with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0


class RedisServer(LeaseServer):
    scheme = "redis"
    binary = "redis-server"

    def command(self) -> list[str]:
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [str(self.program), *place, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]

    def serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class EtcdServer(LeaseServer):
    scheme = "etcd"
    binary = "etcd"

    def command(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_ports()}"
        options = {
            "data-dir": str(self.folder / "data"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        return [str(self.program), *(f"--{name}={value}" for name, value in options.items())]

    def serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as answer:
                return b'"true"' in answer.read()
        except OSError:
            return False


def running(kind: type[LeaseServer]) -> Iterator[LeaseServer]:
    """A started server for a fixture; removed afterwards."""
    server = kind()
    try:
        server.start()
        yield server
    finally:
        server.remove()
