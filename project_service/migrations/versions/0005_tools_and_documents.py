"""What agents' tools need: secrets for their headers, and documents to look things up in."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE tool_secrets (
            project_id uuid NOT NULL REFERENCES projects (id),
            name text NOT NULL,
            tenant uuid NOT NULL,
            sealed text NOT NULL,
            set_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (project_id, name)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE documents (
            id uuid PRIMARY KEY,
            tenant uuid NOT NULL,
            agent_id uuid NOT NULL REFERENCES agents (id),
            name text NOT NULL,
            kind text NOT NULL,
            bytes integer NOT NULL,
            digest text NOT NULL,
            passages integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (agent_id, digest)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE document_passages (
            document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
            position integer NOT NULL,
            tenant uuid NOT NULL,
            text text NOT NULL,
            PRIMARY KEY (document_id, position)
        )
        """
    )
