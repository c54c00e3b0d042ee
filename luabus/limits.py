"""Every limit and default interval, with its unit and its reason. What is of use in one module alone stays there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

PROTOCOL_VERSION: Final = 2

MIN_SECRET_BYTES: Final = 16
"""A shorter secret of a cluster is refused wherever one is given: what the hand-shake shows could be tried out."""

DEFAULT_PORT: Final = 7070

# --- frames ---------------------------------------------------------------------------------------------------
DEFAULT_FRAME_LIMIT: Final = 1 << 20
"""Bytes of one frame after its header (meta and body). Larger ones are refused at the sender."""
MAX_FRAME_LIMIT: Final = 1 << 30
HANDSHAKE_FRAME_LIMIT: Final = 4096
"""Bytes of one frame from a peer that has not proved itself yet: a stranger makes us keep no more than this."""

# --- msgpack: what a hostile body can cost (64 KiB of nested arrays: 73 MB with the library's own defaults) ---
SMALL_ITEMS: Final = 1000
"""Items of one list or map up to which a body is decoded at once; with more it is checked for completeness first."""
MAX_DEPTH: Final = 511
"""Levels of lists and maps in one body that pass with every version of msgpack (1.2 packs 1024, and unpacks 1023)."""

# --- buffers --------------------------------------------------------------------------------------------------
DEFAULT_STREAM_BUFFER: Final = 64 * 1024
"""Bytes: send and receive buffer of a plain stream, unless `set_send_buffer_size` says otherwise."""
DEFAULT_BUS_BUFFER: Final = 8 << 20
"""Bytes a router keeps for one connection that does not read, and a service for its router."""
DEFAULT_WAITING_LIMIT: Final = 256 << 20
"""Bytes that wait for all slow receivers of a process together; beyond, each of them may keep less than its buffer."""
MAX_OUTSTANDING: Final = 65_536
"""Requests in flight per connection; the next one gets `Overloaded`."""
MAX_PLANS: Final = 65_536
"""Routes a router remembers the way for; beyond, it starts remembering anew."""

# --- epochs (docs/masters.md, "Which epochs are believed") ------------------------------------------------------
MAX_EPOCH: Final = 0xFFFF_FFFF
"""A message has 32 bits for it."""
EPOCH_LEAP: Final = 1 << 14
"""An epoch so far from the one that is known is no election that was missed: one each hour for nearly two years."""

# --- time (seconds) -------------------------------------------------------------------------------------------
HANDSHAKE_TIMEOUT_S: Final = 5.0
HEARTBEAT_S: Final = 1.0
HEARTBEATS_MISSED: Final = 3
"""So many heartbeats without a byte received: the peer is lost."""
STUCK_TIMEOUT_S: Final = 10.0
"""A peer whose socket takes nothing for so long, while something waits for it, is cut off."""
REQUEST_TIMEOUT_S: Final = 5.0
DRAIN_TIMEOUT_S: Final = 8.0
"""For what is in flight when a service or router stops; below the 10 s after which a supervisor kills."""
MOMENT_S: Final = 1.0
"""What has been told to end, or comes after a time-out, gets so long."""
CALL_TICK_S: Final = 0.01
"""Time-outs of requests are exact to this: calls that end in the same tick share one entry."""

# --- services -------------------------------------------------------------------------------------------------
MAX_CONCURRENCY: Final = 4096
"""Calls a service runs or queues at once; the next request gets `Overloaded`."""

# --- options --------------------------------------------------------------------------------------------------
LONGEST_TIMEOUT_S: Final = 2_000_000.0
"""The wire's milliseconds go round after 49 days; a longer time-out is none."""
_DAY_S = 86_400.0
"""For what should end, or come again, while somebody waits for it."""


class Range(NamedTuple):
    """What an option may be, both ends included; `whole`: no fractions."""

    least: float
    most: float
    unit: str = ""
    whole: bool = True


OPTION_RANGES: Final[Mapping[str, Range]] = {
    "backlog": Range(1, 65_535, "connections"),
    "buffer": Range(512, MAX_FRAME_LIMIT, "bytes"),
    "compress_above": Range(0, 1 << 62, "bytes"),
    "drain_timeout": Range(0, _DAY_S, "seconds", whole=False),
    "frame_limit": Range(512, MAX_FRAME_LIMIT, "bytes"),
    "group": Range(1, 255),
    "heartbeat_s": Range(0.001, _DAY_S, "seconds", whole=False),
    "instance": Range(1, 65_535),
    "lease_renew": Range(0.001, _DAY_S, "seconds", whole=False),
    "lease_ttl": Range(0.002, _DAY_S, "seconds", whole=False),
    "limit": Range(512, MAX_FRAME_LIMIT, "bytes"),
    "max_concurrency": Range(1, 1_000_000, "calls"),
    "max_connections": Range(1, 0xFF_FFFF, "connections"),
    "port": Range(0, 65_535),
    "timeout_ms": Range(0, LONGEST_TIMEOUT_S * 1000, "milliseconds", whole=False),
    "waiting_limit": Range(
        1 << 20, 1 << 50, "bytes"
    ),  # with less, a few slow receivers would take all room for what is on the way
}
"""Options of the public classes and functions, by name. `luabus.option_checks` compares values with it."""
ROUTE_MODES: Final = ("", "hash", "master", "random", "broadcast")
"""How a group's callers usually reach it; "" leaves it open."""
NAME_LENGTH: Final = 200
"""Characters of a router's or service's name at most."""
