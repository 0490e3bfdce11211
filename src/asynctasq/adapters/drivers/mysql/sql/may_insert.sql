-- Whether the user may do it: explained, and not done.
EXPLAIN INSERT INTO {message} (queue, id, visible_at, enqueued_at, body) VALUES ('', '', 0, 0, '')
