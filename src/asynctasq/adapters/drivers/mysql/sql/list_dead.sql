-- The dead letters of a queue, the most recently dead first, behind the one of id :after if there is one.
SELECT id, queue, body, reason, error, attempt, enqueued_at, -visible_at, history
FROM {message} FORCE INDEX (message_due)
WHERE queue = :queue AND visible_at < 0 AND :behind
ORDER BY visible_at, seq
LIMIT :limit
