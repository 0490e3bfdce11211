-- Lock the most urgent due messages of a queue that nobody else has locked.
SELECT seq, id, body, attempt, enqueued_at, expiries, receipt IS NOT NULL
FROM {message} FORCE INDEX (message_due)
WHERE queue = :queue AND visible_at BETWEEN 0 AND {now}
ORDER BY visible_at, seq
LIMIT :limit
FOR UPDATE SKIP LOCKED
