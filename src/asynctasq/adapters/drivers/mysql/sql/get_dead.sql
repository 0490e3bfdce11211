SELECT id, queue, body, reason, error, attempt, enqueued_at, -visible_at, history
FROM {message} FORCE INDEX (message_id)
WHERE id IN (:ids) AND visible_at < 0
