-- A stored row that is not a message: what can be kept of it becomes a dead letter.
INSERT OR REPLACE INTO dead (id, queue, body, reason, error, attempts, enqueued_at, died_at)
SELECT
    ?2, queue, body, ?3, ?4,
    CASE WHEN typeof(attempt) = 'integer' THEN attempt ELSE 0 END,
    CASE WHEN typeof(enqueued_at) = 'integer' THEN enqueued_at ELSE ?5 END,
    ?5
FROM message
WHERE seq = ?1
