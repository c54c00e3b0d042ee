"""A process that behaves as its arguments say, for tests of who supervises it: `python scripted_child.py VERB[=VALUE] ...`.

The verbs are carried out in order; most later ones need the process to live on, so end with `wait`.

    say=TEXT            a line on stdout               err=TEXT        a line on stderr
    ready               says "ready"                   raw=HEX         these bytes on stdout, no newline
    ignore=SIGTERM      ignores a signal               on-term=CODE    SIGTERM ends it with this code
    child               a child that sleeps, in the same group
    stubborn-child      the same, ignoring SIGTERM
    daemon              double-forks away, into a session of its own
    hidden-daemon       the same, with an empty environment
    regroup             a child in a process group of its own
    flood=BYTES         writes so many bytes without a newline (0: for ever)
    lines=N             N numbered lines               close-stdout    closes stdout and stderr
    sleep=SECONDS       waits                          stop            stops itself with SIGSTOP
    grow=BYTES          keeps so much memory           exit=CODE       ends
    kill=SIGNAL         ends itself by a signal        wait            waits for ever
    pid=FILE            appends its pid to FILE; so do all children made after it
    fail-if=FILE        ends with code 1 when FILE exists
    rlimit=NAME         says a soft resource limit         env=NAME        says a variable
    nice                says its priority                  user            says its user id
    listen=PORT         accepts connections on loopback, and answers them in HTTP
    once=FILE CODE      ends with CODE the first time, goes on when FILE exists already
"""

from __future__ import annotations

import os
import signal
import sys
import time

SLEEPER = "import time; time.sleep(1000)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"


class Child:
    def __init__(self) -> None:
        self.pid_file = ""
        self.kept = b""

    def run(self, words: list[str]) -> None:
        for word in words:
            verb, _, value = word.partition("=")
            getattr(self, "do_" + verb.replace("-", "_"))(value)

    def do_say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201 - its output is what is tested

    def do_err(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def do_ready(self, _: str) -> None:
        self.do_say("ready")

    def do_raw(self, text: str) -> None:
        os.write(1, bytes.fromhex(text))

    def do_ignore(self, name: str) -> None:
        signal.signal(getattr(signal, name), signal.SIG_IGN)

    def do_on_term(self, code: str) -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(int(code)))

    def do_pid(self, file: str) -> None:
        self.pid_file = file
        self.note(os.getpid())

    def note(self, pid: int) -> None:
        if self.pid_file:
            with open(self.pid_file, "a") as out:
                out.write(f"{pid}\n")

    def spawn(self, code: str, *, session: bool = False, group: bool = False, clean: bool = False) -> None:
        noted, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            if session:
                os.setsid()
            if group:
                os.setpgid(0, 0)
            if session and os.fork():
                os._exit(0)
            self.note(os.getpid())
            os.write(tell, b".")
            env = {} if clean else dict(os.environ)
            os.execve(sys.executable, [sys.executable, "-S", "-E", "-c", code], env)
        os.close(tell)
        os.read(noted, 1)  # whoever looks at the pids after this process has ended finds them all
        os.close(noted)
        if session:
            os.waitpid(pid, 0)

    def do_child(self, _: str) -> None:
        self.spawn(SLEEPER)

    def do_stubborn_child(self, _: str) -> None:
        self.spawn(STUBBORN)

    def do_daemon(self, _: str) -> None:
        self.spawn(STUBBORN, session=True)

    def do_hidden_daemon(self, _: str) -> None:
        self.spawn(STUBBORN, session=True, clean=True)

    def do_regroup(self, _: str) -> None:
        self.spawn(SLEEPER, group=True)

    def do_flood(self, size: str) -> None:
        block, left = b"x" * 65536, int(size) or 1 << 62
        while left > 0:
            left -= os.write(1, block[:left])

    def do_lines(self, count: str) -> None:
        for number in range(int(count)):
            os.write(1, b"line %d\n" % number)

    def do_close_stdout(self, _: str) -> None:
        for number in (1, 2):
            os.close(number)

    def do_sleep(self, seconds: str) -> None:
        time.sleep(float(seconds))

    def do_stop(self, _: str) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def do_grow(self, size: str) -> None:
        self.kept = b"\1" * int(size)

    def do_kill(self, name: str) -> None:
        os.kill(os.getpid(), getattr(signal, name))

    def do_exit(self, code: str) -> None:
        sys.stdout.flush()
        os._exit(int(code))

    def do_fail_if(self, file: str) -> None:
        if os.path.exists(file):
            os._exit(1)

    def do_rlimit(self, name: str) -> None:
        import resource

        self.do_say(f"{name} {resource.getrlimit(getattr(resource, 'RLIMIT_' + name.upper()))}")

    def do_env(self, name: str) -> None:
        self.do_say(f"{name}={os.environ.get(name)}")

    def do_nice(self, _: str) -> None:
        self.do_say(f"nice {os.getpriority(os.PRIO_PROCESS, 0)}")

    def do_user(self, _: str) -> None:
        self.do_say(f"user {os.getuid()} groups {os.getgroups()}")

    def do_listen(self, port: str) -> None:
        import socket
        import threading

        server = socket.create_server(("127.0.0.1", int(port)))

        def serve() -> None:
            while True:
                peer, _ = server.accept()
                with peer:
                    path = peer.recv(4096).split(b" ")[1:2]
                    status = b"503 no" if os.path.exists("unwell") else b"200 OK"
                    if path:
                        peer.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()

    def do_once(self, value: str) -> None:
        file, _, code = value.partition(" ")
        if not os.path.exists(file):
            with open(file, "w"):
                pass
            os._exit(int(code))

    def do_wait(self, _: str) -> None:
        while True:
            time.sleep(1000)


if __name__ == "__main__":
    Child().run(sys.argv[1:])
