"""Users, sessions, API keys, one-time secrets, throttles, the audit log, queued mail and signing keys."""

from alembic import op

from shared.outbox import OUTBOX_TABLES

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE users (
        id uuid PRIMARY KEY,
        email text NOT NULL,
        email_key text NOT NULL UNIQUE,
        name text NOT NULL,
        company_name text,
        password_hash text NOT NULL,
        active_project uuid,
        verified_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    # No foreign key to users: a session outlives its user, so that its refresh can say that the user is gone.
    """
    CREATE TABLE sessions (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL,
        ip text NOT NULL,
        user_agent text NOT NULL,
        created_at timestamptz NOT NULL,
        last_used_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX sessions_of_user ON sessions (user_id, id)",
    "CREATE INDEX sessions_by_end ON sessions (expires_at)",
    """
    CREATE TABLE refresh_tokens (
        hash bytea PRIMARY KEY,
        session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
        expires_at timestamptz NOT NULL,
        spent_at timestamptz,
        successor bytea
    )
    """,
    "CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id)",
    """
    CREATE TABLE api_keys (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        name text NOT NULL,
        hash bytea NOT NULL UNIQUE,
        hint text NOT NULL,
        scopes text[] NOT NULL,
        is_default boolean NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        last_used_at timestamptz,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX api_keys_of_user ON api_keys (user_id, id)",
    "CREATE UNIQUE INDEX api_keys_one_default ON api_keys (user_id) WHERE is_default AND revoked_at IS NULL",
    """
    CREATE TABLE one_time_secrets (
        address bytea NOT NULL,
        purpose text NOT NULL,
        hash bytea NOT NULL,
        user_id uuid,
        tries_left integer NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (address, purpose)
    )
    """,
    "CREATE INDEX one_time_secrets_by_hash ON one_time_secrets (hash)",
    "CREATE INDEX one_time_secrets_by_end ON one_time_secrets (expires_at)",
    """
    CREATE TABLE throttles (
        key bytea PRIMARY KEY,
        attempts integer NOT NULL,
        blocked_until timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX throttles_by_age ON throttles (updated_at)",
    """
    CREATE TABLE audit_log (
        id uuid PRIMARY KEY,
        user_id uuid,
        action text NOT NULL,
        ip text NOT NULL,
        user_agent text NOT NULL,
        detail jsonb NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX audit_log_of_user ON audit_log (user_id, id)",
    "CREATE INDEX audit_log_by_age ON audit_log (created_at)",
    """
    CREATE TABLE mail_outbox (
        id uuid PRIMARY KEY,
        sealed bytea NOT NULL,
        failures integer NOT NULL DEFAULT 0,
        next_try_at timestamptz NOT NULL,
        give_up_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX mail_outbox_due ON mail_outbox (next_try_at)",
    """
    CREATE TABLE signing_keys (
        kid text PRIMARY KEY,
        sealed_private_key bytea NOT NULL,
        signs_from timestamptz NOT NULL UNIQUE
    )
    """,
)


def upgrade() -> None:
    for statement in (*TABLES, OUTBOX_TABLES):
        op.execute(statement)
