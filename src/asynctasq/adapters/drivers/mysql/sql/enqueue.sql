-- Store messages, each id of a queue once. Changes as many rows as are new.
INSERT INTO {message} (queue, id, body, visible_at, enqueued_at, batch)
VALUES :rows
ON DUPLICATE KEY UPDATE seq = {message}.seq
