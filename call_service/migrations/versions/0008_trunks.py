"""SIP trunks, their numbers, how they do at each worker, tests of them; the trunk of a call."""

from alembic import op

revision = "0008"
down_revision = "0007"

TRUNKS = """
CREATE TABLE trunks (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    port integer,
    transport text NOT NULL CHECK (transport IN ('udp', 'tcp', 'tls')),
    srtp text NOT NULL CHECK (srtp IN ('off', 'optional', 'required')),
    username text NOT NULL,
    password text NOT NULL,
    realm text NOT NULL,
    registers boolean NOT NULL,
    inbound text NOT NULL CHECK (inbound IN ('address', 'digest')),
    allowed_addresses jsonb NOT NULL,
    calls_per_second double precision NOT NULL,
    max_concurrent integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, name)
)
"""
# A challenge is answered with a user name only, so it has to tell whose trunk calls.
DIGEST_USERS = "CREATE UNIQUE INDEX trunks_digest_users ON trunks (username) WHERE inbound = 'digest'"
NUMBERS = """
CREATE TABLE trunk_numbers (
    tenant uuid NOT NULL,
    number text NOT NULL,
    trunk_id uuid NOT NULL REFERENCES trunks ON DELETE CASCADE,
    PRIMARY KEY (tenant, number)
)
"""
BY_TRUNK = "CREATE INDEX trunk_numbers_by_trunk ON trunk_numbers (trunk_id)"
# What each worker reports; a row that is not renewed is of a worker that is gone.
STATES = """
CREATE TABLE trunk_states (
    trunk_id uuid NOT NULL REFERENCES trunks ON DELETE CASCADE,
    worker text NOT NULL,
    is_registered boolean,
    is_reachable boolean,
    last_error text,
    calls integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trunk_id, worker)
)
"""
# One worker registers a trunk: a registrar forks a call to all that do.
REGISTRARS = """
CREATE TABLE trunk_registrars (
    trunk_id uuid PRIMARY KEY REFERENCES trunks ON DELETE CASCADE,
    worker text NOT NULL,
    lease_until timestamptz NOT NULL
)
"""
# `worker` is written before anything is dialled, and a test that has one is never taken again.
TESTS = """
CREATE TABLE trunk_tests (
    id uuid PRIMARY KEY,
    trunk_id uuid NOT NULL REFERENCES trunks ON DELETE CASCADE,
    number text,
    from_number text,
    worker text,
    steps jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
)
"""
WAITING_TESTS = "CREATE INDEX trunk_tests_waiting ON trunk_tests (created_at) WHERE worker IS NULL"
# No foreign key: the history of calls outlives the trunk.
CALLS = "ALTER TABLE calls ADD COLUMN trunk_id uuid"
LIVE = "CREATE INDEX calls_of_trunk ON calls (trunk_id) WHERE trunk_id IS NOT NULL AND ended_at IS NULL"


def upgrade() -> None:
    for statement in (TRUNKS, DIGEST_USERS, NUMBERS, BY_TRUNK, STATES, REGISTRARS, TESTS, WAITING_TESTS, CALLS, LIVE):
        op.execute(statement)
