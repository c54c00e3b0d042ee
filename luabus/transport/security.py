"""What the two ends of a stream prove to each other: one value, handed through from where it is configured."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from luabus.errors import ConfigError
from luabus.protocol.handshake import NOBODY, NONCE_SIZE, AcceptorHandshake, ConnectorHandshake
from luabus.protocol.keys import Credential, derive, format_key, parse_key
from luabus.protocol.principal import ADMIN, CLIENT, Principal, Role
from luabus.secret import check_secret
from luabus.transport.secret_files import KeyFile, SecretFile, Secrets

if TYPE_CHECKING:
    from luabus.environment import Environment


class Keys(Protocol):
    """Where the keys of hand-shakes come from. Asked anew at each."""

    def credential(self, principal: Principal) -> Credential:
        """What proves that this end is `principal`, or whom it can prove to be."""

    def keys_of(self, claim: Principal) -> tuple[bytes, ...]:
        """The keys that prove a claim of the other end."""


class Secret:
    """Of one who holds the cluster's secret, given or in a file: every key can be derived."""

    __slots__ = ("source",)

    def __init__(self, source: Secrets | SecretFile) -> None:
        self.source = source

    def _secrets(self) -> Secrets:
        return self.source if isinstance(self.source, Secrets) else self.source.read()

    def credential(self, principal: Principal) -> Credential:
        return Credential(principal, derive(self._secrets().current, principal))

    def newest(self, principal: Principal) -> Credential:
        """As `credential`, by the secret to which the cluster is changing, if it is."""
        return Credential(principal, derive(self._secrets().newest, principal))

    def coming(self) -> tuple[bytes, ...]:
        """The secrets to which the cluster is changing, that which it becomes first."""
        return self._secrets().next

    def keys_of(self, claim: Principal) -> tuple[bytes, ...]:
        return tuple(derive(secret, claim) for secret in self._secrets().accepted)


class OwnKey:
    """Of one who holds one key, given or in a file: it proves who has it, and knows nobody else's."""

    __slots__ = ("source",)

    def __init__(self, source: Credential | KeyFile) -> None:
        self.source = source

    def _own(self) -> Credential:
        return self.source if isinstance(self.source, Credential) else self.source.read()

    def credential(self, principal: Principal) -> Credential:
        return self._own()

    def keys_of(self, claim: Principal) -> tuple[bytes, ...]:
        own = self._own()
        return (own.key,) if own.key is not None and own.principal == claim else ()


class Security(NamedTuple):
    """`keys`: None = no authentication, whoever connects is believed. Files are read anew at each connection, so that a secret
    that changes needs no restart.

    `principal`: who this end is, where its keys leave that open. `wanted`: who must be at the other end of a connection made
    here; None = anybody. `advertised`: `HOST:PORT` by which others reach this end, beside the addresses of its own sockets (NAT,
    a proxy in between); a connection made to any other is refused.
    """

    keys: Keys | None = None
    principal: Principal = ADMIN
    wanted: Principal | None = None
    advertised: tuple[str, ...] = ()

    @classmethod
    def of(cls, secret: bytes | str | None, principal: Principal = ADMIN) -> Security:
        """With this secret, a text as UTF-8. Raises `ConfigError` for fewer than 16 bytes."""
        return cls(None if secret is None else Secret(Secrets(check_secret(secret))), principal)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], principal: Principal = ADMIN) -> Security:
        """With the secret in a file; what `secret.next` beside it holds is accepted, too. Raises `ConfigError`."""
        return cls(Secret(SecretFile(path)), principal)

    @classmethod
    def of_key(cls, key: str) -> Security:
        """With one key, in the words of a key file: `service:mail 9a0c...`. Raises `ConfigError`."""
        return cls(OwnKey(parse_key(key)))

    @classmethod
    def of_key_file(cls, path: str | os.PathLike[str]) -> Security:
        """With the key in a file. Raises `ConfigError`."""
        return cls(OwnKey(KeyFile(path)))

    @classmethod
    def of_stream(cls, secret: bytes | str | None, key: str | None = None) -> Security | None:
        """Of a plain stream: with a secret it is a client, with a key whose that is. None when neither is given."""
        if key is not None:
            return cls.of_key(key)
        return None if secret is None else cls.of(secret, CLIENT)

    @classmethod
    def given(
        cls,
        environment: Environment,
        secret: bytes | str | None = None,
        secret_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
    ) -> Security:
        """What is given in code; else the environment's key file, else its secret file. Raises `ConfigError`."""
        if secret is not None:
            return cls.of(secret)
        if secret_file:
            return cls.of_file(secret_file)
        if key_file := key_file or environment.key_file:
            return cls.of_key_file(key_file)
        if environment.secret_file:
            return cls.of_file(environment.secret_file)
        return cls()

    def coming(self) -> tuple[bytes, ...]:
        """What `secret.next` beside the secret's file holds. Raises `ConfigError`."""
        return self.keys.coming() if isinstance(self.keys, Secret) else ()

    def key_line(self, principal: Principal) -> str:
        """What the key file of `principal` holds. Raises `ConfigError` without the secret, from which all keys are made."""
        if not isinstance(self.keys, Secret):
            raise ConfigError(
                f"the key of {principal} is made from the cluster's secret, which is not here", key="secret"
            )
        credential = self.keys.newest(principal)
        assert credential.key is not None
        return format_key(principal, credential.key)

    def to(self, role: Role, name: str = "") -> Security:
        """The same for connections to such a one alone; "" is any name."""
        return self._replace(wanted=Principal(role, name))

    def connector(self, dialed: str) -> ConnectorHandshake:
        """The hand-shake of a connection that is made to `dialed`. Raises `ConfigError` for a key file that holds none."""
        credential = NOBODY if self.keys is None else self.keys.credential(self.principal)
        return ConnectorHandshake(os.urandom(NONCE_SIZE), credential, dialed=dialed, wanted=self.wanted)

    def acceptor(self) -> AcceptorHandshake:
        """The hand-shake of a connection that was accepted."""
        principal = self.principal if self.principal.role in ("router", "launcher") else CLIENT
        keys_of = None if self.keys is None else self.keys.keys_of
        return AcceptorHandshake(
            os.urandom(NONCE_SIZE), keys_of, principal=principal, advertised=self.advertised
        )


NO_SECURITY: Final = Security()
"""Whoever connects is believed."""
