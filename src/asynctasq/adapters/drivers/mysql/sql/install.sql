-- Installs or upgrades the tables of asynctasq. May be run at any time, again, and by several at once.
CREATE TABLE IF NOT EXISTS {version} (
    version      INT NOT NULL PRIMARY KEY,
    installed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB;

-- Times are microseconds since the epoch, by the server's clock. One visible_at serves delay, retry, lease and death: a message is
-- due once it has passed, whatever it was waiting for; that of a dead letter is the time of its death, negative. receipt is null
-- unless the message was claimed. Ids and queues are bytes, which no collation takes for each other.
CREATE TABLE IF NOT EXISTS {message} (
    seq         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    visible_at  BIGINT NOT NULL,
    enqueued_at BIGINT NOT NULL CHECK (enqueued_at >= 0),
    receipt     BIGINT,
    batch       BIGINT NOT NULL DEFAULT 0,
    attempt     INT NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    expiries    INT NOT NULL DEFAULT 0 CHECK (expiries >= 0),
    queue       VARBINARY(64) NOT NULL,
    id          VARBINARY(255) NOT NULL,
    worker      TEXT,
    body        MEDIUMBLOB NOT NULL,
    history     JSON CHECK (JSON_TYPE(history) = 'ARRAY'),
    reason      TEXT,
    error       TEXT,
    UNIQUE KEY message_id (id, queue),
    -- It answers the WHERE and the ORDER BY of a claim.
    KEY message_due (queue, visible_at, seq)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO {version} (version) VALUES (1) ON DUPLICATE KEY UPDATE version = 1;
