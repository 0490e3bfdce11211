-- Store messages, each id of a queue once. Changes as many rows as are new. The time is asked for once, and not anew for each row.
SET @now = {now};
INSERT INTO {message} (queue, id, body, visible_at, enqueued_at, batch)
VALUES :rows
ON DUPLICATE KEY UPDATE seq = {message}.seq
