"""Measures luabus beside nats-server, a pyzmq broker and bare sockets, on this machine, in one run.

    python -m benchmarks [--quick] [--only NAME] [--json FILE] [--update-docs]

Each system has a process for the sender, one for its router or broker, and one or more for receivers, as it would have in
use. docs/benchmarks.md says what is measured and what came out. Modules, from below: `progress` and `child` run inside
the measured processes, with the `roles`; `children` and `systems` start them; `measures` asks them for figures; `results`,
`targets`, `report` and `chart` judge and show these.
"""
