"""Projects, agents and their versions, phone numbers, webhooks, outbox and inbox."""

from alembic import op

from shared.inbox import INBOX_TABLE
from shared.outbox import OUTBOX_TABLES

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE projects (
        id uuid PRIMARY KEY,
        tenant uuid NOT NULL,
        name text NOT NULL,
        description text NOT NULL,
        status text NOT NULL DEFAULT 'ACTIVE',
        active_agent uuid,
        is_deleted boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE UNIQUE INDEX projects_name ON projects (tenant, name) WHERE NOT is_deleted",
    "CREATE INDEX projects_of_tenant ON projects (tenant, id)",
    """
    CREATE TABLE agents (
        id uuid PRIMARY KEY,
        tenant uuid NOT NULL,
        project_id uuid NOT NULL REFERENCES projects (id),
        version integer NOT NULL DEFAULT 1,
        is_deleted boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX agents_of_project ON agents (project_id, id)",
    """
    CREATE TABLE agent_versions (
        agent_id uuid NOT NULL REFERENCES agents (id),
        version integer NOT NULL,
        tenant uuid NOT NULL,
        name text NOT NULL,
        system_instruction text NOT NULL,
        voice_id text NOT NULL,
        settings jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (agent_id, version)
    )
    """,
    """
    CREATE TABLE phone_numbers (
        id uuid PRIMARY KEY,
        tenant uuid NOT NULL,
        project_id uuid NOT NULL REFERENCES projects (id),
        agent_id uuid REFERENCES agents (id),
        e164 text NOT NULL UNIQUE,
        assigned_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX phone_numbers_of_tenant ON phone_numbers (tenant, id)",
    "CREATE INDEX phone_numbers_of_project ON phone_numbers (project_id)",
    "CREATE INDEX phone_numbers_of_agent ON phone_numbers (agent_id, assigned_at)",
    """
    CREATE TABLE webhook_endpoints (
        project_id uuid PRIMARY KEY REFERENCES projects (id),
        tenant uuid NOT NULL,
        url text NOT NULL,
        secret text NOT NULL,
        secret_shown boolean NOT NULL DEFAULT false,
        previous_secret text,
        previous_until timestamptz,
        failing_since timestamptz,
        disabled_at timestamptz,
        disabled_reason text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # `waiting`: an earlier event of the same call is not through yet. `claim` fences off a worker whose lease is over.
    """
    CREATE TABLE webhook_deliveries (
        id uuid PRIMARY KEY,
        tenant uuid NOT NULL,
        project_id uuid NOT NULL REFERENCES projects (id),
        event_id uuid NOT NULL,
        type text NOT NULL,
        subject text NOT NULL,
        sequence bigint NOT NULL,
        body text NOT NULL,
        status text NOT NULL CHECK (status IN ('pending', 'waiting', 'delivered', 'parked')),
        attempts integer NOT NULL DEFAULT 0,
        next_at timestamptz NOT NULL,
        claim uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        UNIQUE (project_id, event_id)
    )
    """,
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (project_id, next_at) WHERE status = 'pending'",
    """
    CREATE INDEX webhook_deliveries_open ON webhook_deliveries (subject, sequence)
        WHERE status IN ('pending', 'waiting')
    """,
    "CREATE INDEX webhook_deliveries_of_tenant ON webhook_deliveries (tenant, id)",
    "CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL",
    """
    CREATE TABLE webhook_attempts (
        delivery_id uuid NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
        at timestamptz NOT NULL,
        url text NOT NULL,
        http_status integer,
        error text,
        duration_ms integer NOT NULL,
        PRIMARY KEY (delivery_id, at)
    )
    """,
    """
    CREATE VIEW live_projects AS
    SELECT p.id, p.tenant, p.tenant AS user_id, p.name, p.description, p.status, p.active_agent, p.is_deleted,
        p.created_at, p.updated_at, e.url AS call_status_webhook
    FROM projects p LEFT JOIN webhook_endpoints e ON e.project_id = p.id
    WHERE NOT p.is_deleted
    """,
    """
    CREATE VIEW live_agents AS
    SELECT a.id, a.tenant, a.project_id, a.version, a.created_at, a.updated_at,
        v.name, v.system_instruction, v.voice_id, v.settings,
        (SELECT n.e164 FROM phone_numbers n WHERE n.agent_id = a.id ORDER BY n.assigned_at DESC LIMIT 1) AS phone_number
    FROM agents a
    JOIN projects p ON p.id = a.project_id AND NOT p.is_deleted
    JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
    WHERE NOT a.is_deleted
    """,
    OUTBOX_TABLES,
    INBOX_TABLE,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
