INSERT INTO message (id, queue, body, visible_at, enqueued_at)
SELECT id, queue, body, ?2, enqueued_at FROM dead WHERE id = ?1
RETURNING id
