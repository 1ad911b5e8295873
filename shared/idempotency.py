"""`Idempotency-Key`: a creating request that is sent again has its effect once, and is given the first answer again.

The answer commits in the transaction of the work (`Database.joined`), and an advisory lock held by that transaction
says that a request is still running. So there is no lease to choose: whatever ends the process ends both, and nothing
is ever done twice or lost between the work and its answer. It covers what is in the database, which is all that our
creating endpoints change; one with an effect elsewhere must not be declared `idempotent`.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

from shared.client import client_of
from shared.db import Database, Record, Tx
from shared.envelope import error_response
from shared.errors import ApiError, ConflictError
from shared.request_ids import request_id
from shared.secret_box import SecretBox

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY_PATTERN = "[ -~]{16,128}"
MAX_ANSWER_BYTES = 4 << 20

# One DO block, because a migration's driver takes one statement at a time.
IDEMPOTENCY_TABLE = """
DO $$
BEGIN
    CREATE TABLE idempotency_keys (
        owner text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        status integer NOT NULL,
        headers json NOT NULL,
        sealed_body bytea NOT NULL,
        answered_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (owner, key)
    );
    CREATE INDEX idempotency_keys_by_age ON idempotency_keys (answered_at);
END $$
"""
PRUNE = """
DELETE FROM idempotency_keys WHERE (owner, key) IN (
    SELECT owner, key FROM idempotency_keys WHERE answered_at < now() - $1::interval ORDER BY answered_at LIMIT $2
)
"""
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', current_schema(), $1::text, $2::text), 0))"
_FIND = "SELECT fingerprint, status, headers, sealed_body FROM idempotency_keys WHERE owner = $1 AND key = $2"
_KEEP = """
INSERT INTO idempotency_keys (owner, key, fingerprint, status, headers, sealed_body) VALUES ($1, $2, $3, $4, $5, $6)
"""

Work = Callable[[], Awaitable[web.StreamResponse]]


class InvalidIdempotencyKeyError(ApiError):
    """An Idempotency-Key has 16 to 128 printable ASCII characters."""

    code = "invalid_idempotency_key"
    status = 400


class IdempotencyKeyReusedError(ApiError):
    """This Idempotency-Key was sent before with another request; use a new one for each."""

    code = "idempotency_key_reused"
    status = 422


class IdempotencyInProgressError(ConflictError):
    """The first request with this Idempotency-Key is still running; try again."""

    code = "idempotency_in_progress"
    retry_after_seconds = 1


ERRORS = (InvalidIdempotencyKeyError, IdempotencyKeyReusedError, IdempotencyInProgressError)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request with a key. `owner` is a customer, or the network of one who is not known yet."""

    request: web.Request
    owner: str
    key: str
    content: str

    def fingerprints(self, box: SecretBox) -> list[bytes]:
        """Keyed, because a body may hold a password; the first one is to be kept."""
        return box.hashes(self.request.method, self.request.path_qs, self.content)


class _SettledError(Exception):
    """Ends the work before its first change: there is an answer already, or somebody else is at it."""

    def __init__(self, answer: web.Response | ApiError) -> None:
        super().__init__()
        self.answer = answer


class Idempotency:
    """The answers of one service. `box` seals their bodies, which may hold a secret that is shown once."""

    def __init__(self, db: Database, box: SecretBox) -> None:
        self._db = db
        self._box = box

    async def once(self, request: web.Request, tenant: str | None, content: str, work: Work) -> web.StreamResponse:
        """The answer of `work`, or the one that was given to the same key before.

        Without a key it is just `work`. A key belongs to the tenant; on public endpoints to the caller's network, so
        that strangers can't take one another's keys. `content` is the body in a canonical form. Kept are answers below
        500 that no later try could change (so no 429).

        Raises:
            InvalidIdempotencyKeyError, IdempotencyKeyReusedError, IdempotencyInProgressError
        """
        key = request.headers.get(HEADER)
        if key is None:
            return await work()
        if not re.fullmatch(KEY_PATTERN, key):
            raise InvalidIdempotencyKeyError
        asked = _Asked(request, tenant or self._stranger(request), key, content)
        try:
            if row := await self._db.fetchrow(_FIND, asked.owner, key):
                return self._replay(asked, row)
            return await self._first(asked, work)
        except _SettledError as settled:
            if isinstance(settled.answer, ApiError):
                raise settled.answer from None
            return settled.answer

    async def _first(self, asked: _Asked, work: Work) -> web.StreamResponse:
        async with self._db.joined(lambda tx: self._begin(tx, asked)) as unit:
            response = await _final_answer(asked.request, work)
            await self._keep(await unit.begin(), asked, response)
        return response

    async def _begin(self, tx: Tx, asked: _Asked) -> None:
        if not await tx.fetchval(_LOCK, asked.owner, asked.key):
            raise _SettledError(IdempotencyInProgressError())
        # A second statement: its snapshot holds what the one who had the lock before has committed.
        if row := await tx.fetchrow(_FIND, asked.owner, asked.key):
            raise _SettledError(self._replay(asked, row))

    def _replay(self, asked: _Asked, row: Record) -> web.Response:
        if row["fingerprint"] not in asked.fingerprints(self._box):
            raise _SettledError(IdempotencyKeyReusedError())
        headers = {**row["headers"], REPLAYED: "true"}
        return web.Response(status=row["status"], headers=headers, body=self._box.open(row["sealed_body"]) or None)

    async def _keep(self, tx: Tx, asked: _Asked, response: web.StreamResponse) -> None:
        body = response.body or b"" if isinstance(response, web.Response) else None
        if not isinstance(body, bytes) or len(body) > MAX_ANSWER_BYTES:
            raise ValueError("an idempotent endpoint gave an answer that can't be kept; its work is undone")
        headers = {str(name): value for name, value in response.headers.items() if name != hdrs.CONTENT_LENGTH}
        fingerprint = asked.fingerprints(self._box)[0]
        sealed = self._box.seal(body)
        await tx.execute(_KEEP, asked.owner, asked.key, fingerprint, response.status, headers, sealed)

    def _stranger(self, request: web.Request) -> str:
        return self._box.hash("network", client_of(request).network).hex()


async def _final_answer(request: web.Request, work: Work) -> web.StreamResponse:
    try:
        return await work()
    except ApiError as error:
        if error.status >= 500 or error.retryable:
            raise
        return error_response(error, request_id(request), request.headers.get(hdrs.ACCEPT, ""))


IDEMPOTENCY = web.AppKey("idempotency", Idempotency)
