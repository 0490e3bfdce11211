-- Due messages of queue ?1 at ?2, at most ?3.
SELECT
    seq, id, body, attempt, enqueued_at, expiries, receipt IS NOT NULL,
    CASE WHEN history IS NULL THEN 1 WHEN json_valid(history) THEN json_type(history) = 'array' ELSE 0 END
FROM message
WHERE queue = ?1 AND visible_at <= ?2
ORDER BY visible_at, seq
LIMIT ?3
