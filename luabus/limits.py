"""Every limit and default interval, with its unit and its reason. What is of use in one module alone stays there."""

from __future__ import annotations

from typing import Final

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
MAX_OUTSTANDING: Final = 65_536
"""Requests in flight per connection; the next one gets `Overloaded`."""
MAX_PLANS: Final = 65_536
"""Routes a router remembers the way for; beyond, it starts remembering anew."""

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
