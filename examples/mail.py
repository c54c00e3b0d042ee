"""Mail boxes, spread over the instances by account.

Callers say `bus.hash("mail", account)`, so everything about one account meets in one instance, which can keep it in
memory. When that instance dies its accounts go evenly to all others, and come home when it is back.
"""

from __future__ import annotations

from collections import defaultdict, deque

import luabus

service = luabus.Service("mail")

KEPT = 100  # mails per account; older ones are forgotten
boxes: defaultdict[str, deque[dict[str, str]]] = defaultdict(lambda: deque(maxlen=KEPT))


@service.rpc
def send_mail(account: str, receiver: str, title: str, body: str) -> int:
    """Put a mail from `account` into the receiver's box; returns how many lie there now."""
    box = boxes[receiver]
    box.append({"from": account, "title": title, "body": body})
    return len(box)


@service.rpc
def read_mail(account: str) -> list[dict[str, str]]:
    """Everything in the account's box, oldest first; the box is empty afterwards."""
    return list(boxes.pop(account, ()))


@service.rpc
def stats() -> dict[str, int]:
    """What this instance holds."""
    return {"accounts": len(boxes), "mails": sum(map(len, boxes.values()))}


if __name__ == "__main__":
    service.run()
