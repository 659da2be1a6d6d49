"""Idempotency-Key: a POST that is sent again does nothing again and gets the first answer.

A key is the owner's, and good for 24 hours. What is made under it has the same id in every attempt, noted
before anything is made: so a repeat after a crash finds what was made instead of making it twice. Only
success is kept: a refusal did nothing, and after a failure of ours the same request may try again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any

import structlog
from litestar import Request, Response
from litestar.datastructures import Headers
from litestar.enums import HttpMethod, ScopeType
from litestar.openapi.spec import OpenAPIType, Parameter, Schema
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from leadline_common.clock import Clock
from leadline_common.http.auth import Authentication
from leadline_common.http.requests import ApiRequest
from leadline_common.idempotency.store import IdempotencyStore, KeyRecord, StoredAnswer
from leadline_common.ids import derived_id, new_id
from leadline_contracts.errors import Problem, Unavailable

STREAMED = "streamed_body"
"""The `opt` of a route that reads its body in pieces, and binds its attempt to what it read."""
_STATE = "attempt"
_KEPT = timedelta(hours=24)
_LEASE = timedelta(seconds=60)
_RENEW_SECONDS = 20.0
_LONGEST = 255
_NOT_KEPT = frozenset({"content-length", "date"})

KEY_PARAMETER = Parameter(
    name="Idempotency-Key",
    param_in="header",
    description="the same request with the same key again gets the first answer, for 24 hours",
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=_LONGEST),
)
"""How an OpenAPI document tells of it."""

log = structlog.get_logger()


class Replayed(Exception):
    """The request was answered before, and this is the answer."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__("answered before")
        self.answer = answer


class RequestAttempt:
    """What one request does. `object_id` is for what it makes; `repeated` says that there was an attempt."""

    def __init__(self, object_id: str, *, repeated: bool = False) -> None:
        self.object_id = object_id
        self.repeated = repeated

    async def bind(self, request: str) -> None:
        """Say what was asked for, once a streamed body has been read and before anything counts.

        Raises Replayed where that was answered before, Problem where the key is another request's.
        """


class _KeyedAttempt(RequestAttempt):
    def __init__(self, store: IdempotencyStore, clock: Clock, key: str, record: KeyRecord) -> None:
        super().__init__(record.object_id, repeated=record.takes > 1 or record.answer is not None)
        self._store = store
        self._clock = clock
        self._key = key
        self._record = record
        self._until = record.leased_until

    async def bind(self, request: str) -> None:
        if self._record.request not in {None, request}:
            raise _another_request()
        if self._record.answer is not None:
            raise Replayed(self._record.answer)
        if not await self._hold(request):
            raise _under_way()

    def receiving(self, receive: Receive) -> Receive:
        """Return what reads the body while no other attempt can have the key: a process may be frozen."""

        async def receive_while_held() -> Any:
            message = await receive()
            if self._clock() > self._until:
                raise _under_way()
            return message

        return receive_while_held

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep other attempts away, however long this one takes."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            with suppress(Unavailable):  # the lease goes on for two more of these
                await self._hold()

    async def _hold(self, request: str | None = None) -> bool:
        until = self._clock() + _LEASE
        held = await self._store.hold_key(self._key, self._record.token, until, request)
        if held:
            self._until = until
        return held

    async def end(self, answer: StoredAnswer) -> None:
        """Keep the answer, or let the key be used again where it is no success."""
        token, known = self._record.token, self._record.takes > 1
        try:
            if 200 <= answer.status < 300:
                await self._store.keep_answer(self._key, token, answer)
            else:
                # An earlier attempt, or one that failed, may have made something under the key's id.
                forget = answer.status < 500 and not known
                await self._store.free_key(self._key, token, self._clock(), forget=forget)
        except Unavailable as error:  # a repeat finds what was made, once the lease has ended
            log.warning("answer_not_kept", status=answer.status, error=str(error))


async def current_attempt(request: Request[Any, Any, Any]) -> RequestAttempt:
    """Return what a request does: that of its key, or one of its own where it has none."""
    attempt: RequestAttempt | None = request.scope["state"].get(_STATE)
    return attempt or RequestAttempt(new_id())


def replay(_: Request[Any, Any, Any], replayed: Replayed) -> Response[bytes]:
    """Answer as before."""
    answer = replayed.answer
    headers = {**answer.headers, "Idempotent-Replayed": "true"}
    kind = headers.pop("content-type", None)
    return Response(answer.body.encode(), status_code=answer.status, headers=headers, media_type=kind)


class Idempotency:
    """Middleware, inside the routing: a POST with a key is done once."""

    def __init__(self, store: IdempotencyStore, authentication: Authentication, clock: Clock) -> None:
        self._store = store
        self._authentication = authentication
        self._clock = clock

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the application with it in front."""

        async def once(scope: Scope, receive: Receive, send: Send) -> None:
            key = self._key_of(scope) if scope["type"] == ScopeType.HTTP else None
            if key is None:
                await app(scope, receive, send)
            else:
                await self._once(app, key, scope, receive, send)  # type: ignore[arg-type]

        return once

    def _key_of(self, scope: HTTPScope) -> str | None:
        """Return what the request is known by, None where it has no key or needs none.

        Public routes take none: what they answer are tokens, which nobody is to keep.
        """
        headers = Headers.from_scope(scope)
        keys = headers.getall("idempotency-key", [])
        if scope["method"] != HttpMethod.POST or not keys or scope["route_handler"].opt.get("public"):
            return None
        owner = self._authentication.owner_of(headers.getall("authorization", []))
        if len(keys) > 1 or not (keys[0].isprintable() and 0 < len(keys[0]) <= _LONGEST):
            raise Problem(
                400,
                "Bad idempotency key",
                f"Send one Idempotency-Key of 1 to {_LONGEST} characters, such as a UUID of its own.",
            )
        return derived_id("idempotency", owner, keys[0])

    async def _once(self, app: ASGIApp, key: str, scope: HTTPScope, receive: Receive, send: Send) -> None:
        streamed = bool(scope["route_handler"].opt.get(STREAMED))
        request = None if streamed else digest_of(scope, await ApiRequest(scope, receive).body())
        now = self._clock()
        lease, end, token = now + _LEASE, now + _KEPT, new_id()
        wanted = KeyRecord(
            object_id=new_id(), token=token, leased_until=lease, expires_at=end, request=request
        )
        record = await self._store.take_key(key, wanted, now)
        attempt = _KeyedAttempt(self._store, self._clock, key, record)
        scope["state"][_STATE] = attempt
        if record.answer is not None and streamed:
            await app(scope, receive, send)  # which reads the body, and then binds
            return
        if record.answer is None and record.token != token:
            raise _under_way()
        if request is not None and (record.answer or record.request != request):
            await self._refuse_or_replay(attempt, request, key, token)
        async with attempt.held():
            await app(scope, attempt.receiving(receive), _Keep(attempt, send))

    async def _refuse_or_replay(self, attempt: RequestAttempt, request: str, key: str, token: str) -> None:
        try:
            await attempt.bind(request)
        except Problem:
            await self._store.free_key(key, token, self._clock(), forget=False)
            raise


def digest_of(scope: HTTPScope, content: bytes) -> str:
    """Return what a request asks for, as one value: its path, its query and its content."""
    target = f"{scope['path'].rstrip('/')}?{scope['query_string'].decode('latin-1')}\n"
    return sha256(target.encode() + content).hexdigest()


class _Keep:
    """Sends an answer on when it is kept."""

    def __init__(self, attempt: _KeyedAttempt, send: Send) -> None:
        self._attempt = attempt
        self._send = send
        self._start: Message | None = None
        self._content = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._content += message["body"]
            if message.get("more_body"):
                return
            start, self._start = self._start, None
            await self._attempt.end(_answer(start, bytes(self._content)))
            await self._send(start)
            await self._send({"type": "http.response.body", "body": bytes(self._content), "more_body": False})
        else:
            await self._send(message)


def _answer(start: Any, content: bytes) -> StoredAnswer:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    kept = {name: value for name, value in headers.items() if name not in _NOT_KEPT}
    return StoredAnswer(status=start["status"], headers=kept, body=content.decode())


def _another_request() -> Problem:
    return Problem(
        422,
        "Key of another request",
        "This Idempotency-Key came with another path, query or body in the last 24 hours. Send the first "
        "request as it was, or make a new key for this one.",
    )


def _under_way() -> Problem:
    return Problem(
        409,
        "Under way",
        "The request with this Idempotency-Key is still being answered. Send it again in a few seconds.",
        retry_after=2,
    )
