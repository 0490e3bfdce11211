-- Lock the most urgent due messages of a queue that nobody else has locked. The client takes as long for a column as for another,
-- whatever is in it, so all but the body are one.
SELECT CONCAT_WS(' ', seq, attempt, enqueued_at, expiries, receipt IS NOT NULL, id), body
FROM {message} FORCE INDEX (message_due)
WHERE queue = :queue AND visible_at BETWEEN :first AND {now}
ORDER BY visible_at, seq
LIMIT :limit
FOR UPDATE SKIP LOCKED
