-- Times are integer microseconds since the epoch. One visible_at serves delay, retry and lease: a message is due once it
-- has passed, whatever it was waiting for. receipt is null unless the message was claimed.
CREATE TABLE message (
    seq         INTEGER PRIMARY KEY,
    id          TEXT UNIQUE,
    queue       TEXT NOT NULL CHECK (typeof(queue) = 'text'),
    body        BLOB,
    visible_at  INTEGER NOT NULL CHECK (typeof(visible_at) = 'integer'),
    enqueued_at INTEGER,
    attempt     INTEGER DEFAULT 0,
    expiries    INTEGER DEFAULT 0,
    receipt     INTEGER,
    worker      TEXT,
    history     TEXT
);

-- Its last column is seq, as in every SQLite index: it answers the WHERE and the ORDER BY of a claim.
CREATE INDEX message_due ON message (queue, visible_at);

CREATE TABLE dead (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    queue       TEXT NOT NULL,
    body        BLOB,
    reason      TEXT NOT NULL,
    error       TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    died_at     INTEGER NOT NULL,
    history     TEXT
);

CREATE INDEX dead_of_queue ON dead (queue);
