SELECT id, queue, body, reason, error, attempts, enqueued_at, died_at, history
FROM dead
WHERE queue = ?1 AND (?2 IS NULL OR seq < (SELECT seq FROM dead WHERE id = ?2))
ORDER BY seq DESC
LIMIT ?3
