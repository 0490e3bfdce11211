-- Installs or upgrades the tables of asynctasq. May be run at any time, again, and by several at once.
BEGIN;
SELECT pg_advisory_xact_lock(hashtext('asynctasq install'));

CREATE SCHEMA IF NOT EXISTS {schema};

CREATE TABLE IF NOT EXISTS {schema}.version (
    version      integer PRIMARY KEY,
    installed_at timestamptz NOT NULL DEFAULT now()
);

-- Times are microseconds since the epoch, by the server's clock. One visible_at serves delay, retry and lease: a message is due
-- once it has passed, whatever it was waiting for. receipt is null unless the message was claimed.
CREATE TABLE IF NOT EXISTS {schema}.message (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visible_at  bigint NOT NULL CHECK (visible_at >= 0),
    enqueued_at bigint NOT NULL CHECK (enqueued_at >= 0),
    receipt     bigint,
    attempt     integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    expiries    integer NOT NULL DEFAULT 0 CHECK (expiries >= 0),
    queue       text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    worker      text,
    body        bytea NOT NULL,
    history     jsonb CHECK (jsonb_typeof(history) = 'array'),
    UNIQUE (id, queue)
) WITH (
    -- Every task leaves dead rows behind, however short the queue is: clean up by number, soon, and without pausing.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 20000
);

-- It answers the WHERE and the ORDER BY of a claim.
CREATE INDEX IF NOT EXISTS message_due ON {schema}.message (queue, visible_at, seq);

CREATE TABLE IF NOT EXISTS {schema}.dead (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    enqueued_at bigint NOT NULL,
    died_at     bigint NOT NULL,
    attempts    integer NOT NULL,
    queue       text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    reason      text NOT NULL,
    error       text NOT NULL,
    body        bytea NOT NULL,
    history     jsonb,
    UNIQUE (id, queue)
);

CREATE INDEX IF NOT EXISTS dead_of_queue ON {schema}.dead (queue, seq);

INSERT INTO {schema}.version (version) VALUES (1) ON CONFLICT DO NOTHING;
COMMIT;
