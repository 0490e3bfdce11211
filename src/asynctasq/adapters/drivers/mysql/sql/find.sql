-- The messages of these ids that are alive, and in how many microseconds they are due.
SELECT id, queue, body, receipt IS NOT NULL, attempt, expiries, enqueued_at, visible_at - {now}
FROM {message} FORCE INDEX (message_id)
WHERE id IN (:ids) AND visible_at >= 0
