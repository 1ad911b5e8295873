"""Users."""

from dataclasses import dataclass
from datetime import datetime

from auth_service.fields import address_key
from shared.db import Record, Tx


@dataclass(frozen=True, slots=True)
class User:
    """An account. Its id is the tenant of everything that belongs to it."""

    id: str
    email: str
    name: str
    company_name: str | None
    password_hash: str
    active_project: str | None
    verified_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_verified(self) -> bool:
        return self.verified_at is not None


def id_of(user: User | None) -> str | None:
    return None if user is None else user.id


_COLUMNS = """
id::text, email, name, company_name, password_hash, active_project::text, verified_at, created_at, updated_at
"""
_ADD = """
INSERT INTO users (id, email, email_key, name, password_hash, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (email_key) DO NOTHING RETURNING true
"""
_BY_ID = f"SELECT {_COLUMNS} FROM users WHERE id = $1"  # noqa: S608 - constants only
_BY_EMAIL = f"SELECT {_COLUMNS} FROM users WHERE email_key = $1"  # noqa: S608 - constants only


def _user(row: Record | None) -> User | None:
    return None if row is None else User(**row)


async def add(tx: Tx, user: User) -> bool:
    """False when the address is taken."""
    added = await tx.fetchval(
        _ADD, user.id, user.email, address_key(user.email), user.name, user.password_hash, user.created_at
    )
    return bool(added)


async def by_id(tx: Tx, user_id: str) -> User | None:
    return _user(await tx.fetchrow(_BY_ID, user_id))


async def by_email(tx: Tx, email: str) -> User | None:
    return _user(await tx.fetchrow(_BY_EMAIL, address_key(email)))


async def by_email_for_update(tx: Tx, email: str) -> User | None:
    return _user(await tx.fetchrow(_BY_EMAIL + " FOR UPDATE", address_key(email)))


async def set_verified(tx: Tx, user_id: str, now: datetime) -> bool:
    """False when it was already."""
    return (
        await tx.execute(
            "UPDATE users SET verified_at = $2, updated_at = $2 WHERE id = $1 AND verified_at IS NULL", user_id, now
        )
        == "UPDATE 1"
    )


async def lock_password(tx: Tx, user_id: str) -> str | None:
    """The hash of the user's password, which nobody changes until the transaction ends."""
    query = "SELECT password_hash FROM users WHERE id = $1 FOR NO KEY UPDATE"
    password_hash: str | None = await tx.fetchval(query, user_id)
    return password_hash


async def set_password(tx: Tx, user_id: str, password_hash: str, now: datetime) -> None:
    await tx.execute("UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1", user_id, password_hash, now)


async def set_active_project(tx: Tx, user_id: str, project_id: str, now: datetime) -> User | None:
    return _user(
        await tx.fetchrow(
            f"UPDATE users SET active_project = $2, updated_at = $3 WHERE id = $1 RETURNING {_COLUMNS}",  # noqa: S608
            user_id,
            project_id,
            now,
        )
    )
