INSERT OR REPLACE INTO dead (id, queue, body, reason, error, attempts, enqueued_at, died_at, history)
SELECT id, queue, body, ?4, ?5, attempt, enqueued_at, ?6, history
FROM message
WHERE seq = ?2 AND receipt = ?3
RETURNING ?1
