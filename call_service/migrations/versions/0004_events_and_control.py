"""The feed of all events in one order; requests to cancel or end a call; deleted projects."""

from alembic import op

revision = "0004"
down_revision = "0003"

# A row for each event of the outbox. `number` is given after the commit, by one transaction at a time: numbers become
# visible in their order, which positions do not. It is a table of its own because the relay locks the outbox's rows
# while it publishes.
FEED = """
CREATE TABLE feed (
    position bigint PRIMARY KEY REFERENCES outbox ON DELETE CASCADE,
    tenant text NOT NULL,
    number bigint
)
"""
HEAD = "CREATE TABLE feed_head (last bigint NOT NULL)"
HEAD_ROW = "INSERT INTO feed_head VALUES (0)"
FILL = "INSERT INTO feed (position, tenant) SELECT position, tenant FROM outbox"
FEED_INDEXES = (
    "CREATE INDEX feed_unnumbered ON feed (position) WHERE number IS NULL",
    "CREATE UNIQUE INDEX feed_of_tenant ON feed (tenant, number) WHERE number IS NOT NULL",
)
ENTER = """
CREATE FUNCTION enter_feed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed (position, tenant) VALUES (NEW.position, NEW.tenant);
    RETURN NULL;
END $$
"""
ENTER_TRIGGER = "CREATE TRIGGER enter_feed AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION enter_feed()"
# One round trip, so that a process that freezes holds no lock. Each statement sees what was committed before it.
NUMBER = """
CREATE FUNCTION number_feed(batch integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    base bigint;
    numbered integer;
BEGIN
    SELECT last INTO base FROM feed_head FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    UPDATE feed SET number = base + due.step
    FROM (
        SELECT position, row_number() OVER (ORDER BY position) AS step
        FROM (SELECT position FROM feed WHERE number IS NULL ORDER BY position LIMIT batch) AS oldest
    ) AS due
    WHERE feed.position = due.position;
    GET DIAGNOSTICS numbered = ROW_COUNT;
    IF numbered > 0 THEN
        UPDATE feed_head SET last = base + numbered;
        PERFORM pg_notify(current_schema() || '_feed', '');
    END IF;
    RETURN numbered;
END $$
"""
CONTROL = "ALTER TABLE calls ADD COLUMN control text CHECK (control IN ('cancel', 'end'))"
DELETED_PROJECTS = """
CREATE TABLE deleted_projects (
    project_id uuid PRIMARY KEY,
    deleted_at timestamptz NOT NULL DEFAULT now()
)
"""
QUEUED_INDEX = "CREATE INDEX calls_queued_of_project ON calls (project_id) WHERE status = 'queued'"
LIST_INDEX = "CREATE INDEX calls_list ON calls (tenant, id DESC)"


def upgrade() -> None:
    for statement in (FEED, HEAD, HEAD_ROW, FILL, *FEED_INDEXES, ENTER, ENTER_TRIGGER, NUMBER):
        op.execute(statement)
    for statement in (CONTROL, DELETED_PROJECTS, QUEUED_INDEX, LIST_INDEX):
        op.execute(statement)
