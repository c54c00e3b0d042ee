"""Leases in etcd, by the JSON gateway of its v3 API and aiohttp.

etcd's own leases are not used: the rule needs only a compare-and-set and the candidates' own timers, and a lease kept
alive by a server is one clock more to trust. (Its keep-alive for a lease that is dead answers 200, without a `TTL`.)
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from luabus.lease.stores.address import Address
from luabus.lease.stores.aiohttp_resolver import Resolver
from luabus.lease.stores.base import DEFAULT_NAMESPACE, DEFAULT_TIMEOUT_S, LeaseRow, LeaseStoreError, describe

_DEFAULT_PORT: Final = "2379"
_MAX_ANSWER_BYTES: Final = 64 * 1024  # a row has some hundred


class EtcdStore:
    """See `LeaseStore`. A group's row is the JSON text under the key `NAMESPACE/lease/GROUP`.

    Several endpoints, with commas between, are members of one cluster: the first is asked, and the next one from when
    it fails.
    """

    def __init__(
        self, address: Address, *, namespace: str = DEFAULT_NAMESPACE, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._timeout_s = timeout_s
        scheme = "https" if address.scheme == "etcds" else "http"
        self._endpoints = [f"{scheme}://{_with_port(host)}" for host in address.hosts.split(",")]
        self._session: aiohttp.ClientSession | None = None
        self._token = ""

    @property
    def address(self) -> str:
        """The URL, without credentials."""
        return str(self._address)

    async def read(self, group: int) -> LeaseRow | None:
        """See `LeaseStore`."""
        answer = await self._call("read", "kv/range", {"key": self._key(group)})
        rows = answer.get("kvs", [])
        try:
            return decode(group, rows[0]["value"]) if rows else None
        except (ValueError, TypeError, KeyError) as error:
            raise self._error("read", f"the key of group {group} holds no lease: {describe(error)}") from None

    async def compare_and_set(self, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        """See `LeaseStore`."""
        key = self._key(group)
        if expected is None:
            condition = {"key": key, "target": "CREATE", "create_revision": "0"}
        else:  # (epoch, seq) names one written row, so the whole value can be compared
            condition = {"key": key, "target": "VALUE", "value": encode(expected)}
        write = {"requestPut": {"key": key, "value": encode(new)}}
        answer = await self._call("compare-and-set", "kv/txn", {"compare": [condition], "success": [write]})
        return answer.get("succeeded") is True

    async def close(self) -> None:
        """See `LeaseStore`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _key(self, group: int) -> str:
        return _base64(f"{self._namespace}/lease/{group}")

    async def _call(self, what: str, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Resolver()))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._authorized(self._session, method, body)
        except TimeoutError:
            self._endpoints.append(self._endpoints.pop(0))
            raise self._error(what, f"no answer within {self._timeout_s:g} s") from None
        except aiohttp.ClientResponseError as error:
            if error.status >= 500:
                self._endpoints.append(self._endpoints.pop(0))
            raise self._error(what, f"{error.status} {error.message}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._endpoints.append(self._endpoints.pop(0))
            raise self._error(what, describe(error)) from error

    async def _authorized(
        self, session: aiohttp.ClientSession, method: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        if self._address.user is None:
            return await self._post(session, method, body)
        if self._token:
            try:
                return await self._post(session, method, body)
            except aiohttp.ClientResponseError as error:
                if error.status != 401:
                    raise
                self._token = (
                    ""  # it lives for some minutes; the request was refused, so it may be sent again
                )
        login = {"name": self._address.user, "password": self._address.password or ""}
        self._token = str((await self._post(session, "auth/authenticate", login)).get("token", ""))
        return await self._post(session, method, body)

    async def _post(
        self, session: aiohttp.ClientSession, method: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        headers = {"Authorization": self._token} if self._token else {}
        async with session.post(f"{self._endpoints[0]}/v3/{method}", json=body, headers=headers) as response:
            text = b""
            async for piece in response.content.iter_any():
                text += piece
                if len(text) > _MAX_ANSWER_BYTES:
                    break
            try:
                answer = json.loads(text)
            except ValueError:
                answer = None
            if response.status == 200 and isinstance(answer, dict) and "header" in answer:
                return answer
            problem = answer.get("error") if isinstance(answer, dict) else None
            raise aiohttp.ClientResponseError(
                response.request_info,
                (),
                status=response.status,
                message=str(problem or "not an answer of etcd's v3 gateway"),
            )

    def _error(self, what: str, text: str) -> LeaseStoreError:
        reason = f"{what}: {text}"
        return LeaseStoreError(f"lease store {self.address}: {reason}", store=self.address, reason=reason)


def encode(row: LeaseRow) -> str:
    """The row as etcd's gateway takes it: base64 of one and the same text for equal rows."""
    return _base64(json.dumps([row.holder, row.incarnation, row.epoch, row.seq, row.transferee]))


def decode(group: int, value: str) -> LeaseRow:
    """The inverse of `encode`. Raises `ValueError` or `TypeError` for anything else."""
    holder, incarnation, epoch, seq, transferee = json.loads(base64.b64decode(value))
    return LeaseRow(group, int(holder), int(incarnation), int(epoch), int(seq), int(transferee))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _with_port(host: str) -> str:
    return host if ":" in host.rpartition("]")[2] else f"{host}:{_DEFAULT_PORT}"
