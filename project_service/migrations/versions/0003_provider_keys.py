"""The keys of vendors, sealed."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE provider_keys (
            project_id uuid NOT NULL REFERENCES projects (id),
            provider text NOT NULL,
            tenant uuid NOT NULL,
            sealed text NOT NULL,
            last_four text NOT NULL,
            base_url text,
            set_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (project_id, provider)
        )
        """
    )
