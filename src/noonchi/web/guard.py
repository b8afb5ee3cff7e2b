"""Who may ask: looked at on every route before anything else, and counted after."""

import base64
import binascii
import hmac
import ipaddress
import re
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noonchi.errors import SettingsError
from noonchi.web.meters import Meters
from noonchi.web.refusals import Refused, response

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OPEN = ("/health/live", "/health/ready")
"""Routes that need no token: what asks them has none, and they tell nothing."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")

_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_NOTHING = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""The policy of whatever is no page."""


@dataclass(frozen=True)
class Door:
    """By which names a server is reached, and what it asks for."""

    names: Collection[str]
    """Hosts, in small letters and without ports."""
    any_address: bool = False
    """Whether it is also reached by addresses, which a name of somebody else's cannot be."""
    token: str | None = field(default=None, repr=False)


def door(host: str, names: Sequence[str], token: str | None) -> Door:
    """Of a server at an address that is also reached by names. Raises SettingsError without a token but on loopback.

    >>> door("127.0.0.1", [], None).any_address
    False
    """
    given = host.lower()
    if not token and not _is_loopback(given):
        raise SettingsError(
            f"--host {host}: others than this machine could ask; they need a token: set NOONCHI_TOKEN, or --token."
        )
    everywhere = given in ("0.0.0.0", "::")  # noqa: S104  # asked for by name
    own = [socket.gethostname().lower()] if everywhere else [given]
    return Door(frozenset((*_LOOPBACK, *own, *(name.lower() for name in names))), everywhere, token)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


class Guard:
    """An ASGI application around another.

    A page elsewhere that makes a browser ask this server is met by its Origin, or, where it has pointed a name of its
    own at this address (DNS rebinding), by its Host. The port is not looked at: it differs behind a tunnel or a
    container, and a page cannot choose it.
    """

    def __init__(self, app: App, meters: Meters, routes: Collection[str], door: Door) -> None:
        self._app, self._meters, self._routes = app, meters, routes
        self._names, self._any_address = frozenset(door.names), door.any_address
        self._token = door.token.encode() if door.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for itself, or has the application answer."""
        begun, status = time.perf_counter(), 500

        async def sending(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                headers = event["headers"] = [*event.get("headers", ()), *_SECURITY]
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append(_NOTHING)
            await send(event)

        try:
            if refused := self._refusal(scope["path"], _headers(scope)):
                await response(refused)(scope, receive, sending)
            else:
                await self._app(scope, receive, sending)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._meters.answered(route, method, status, time.perf_counter() - begun)

    def _refusal(self, path: str, headers: Mapping[bytes, bytes]) -> Refused | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_ours(host):
            return Refused(
                421, f"this server is not '{host}'; use the address that it printed, or start it with --name."
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() not in (f"http://{host}", f"https://{host}"):
            return Refused(403, "pages of other sites may not ask this server.")
        if self._token and path not in _OPEN and not self._knows(headers.get(b"authorization", b"")):
            ask = {"WWW-Authenticate": 'Basic realm="noonchi: any name, and the token as password", charset="UTF-8"'}
            return Refused(401, "send the token: Authorization: Bearer TOKEN, or as the password of HTTP Basic.", ask)
        return None

    def _is_ours(self, host: str) -> bool:
        name = _name(host)
        return name in self._names or (self._any_address and _is_address(name))

    def _knows(self, authorization: bytes) -> bool:
        """Whether the token came, as Bearer or as the password of Basic: what a browser asks for by itself."""
        assert self._token
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(given, self._token)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """One that came twice is joined, and so is no host or token any more."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def _name(host: str) -> str:
    """Without the port; an IPv6 address without its brackets; nothing where it is malformed.

    >>> [_name(host) for host in ("localhost:8000", "[::1]:80", "a.example", "a:b@localhost", "localhost:x")]
    ['localhost', '::1', 'a.example', '', '']
    """
    found = _HOST.fullmatch(host)
    return (found["six"] or found["name"]) if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
