-- Up to $2 dead letters of queue $1, the most recently dead first, behind the one of id $3 if that is not null.
SELECT id, queue, body, reason, error, attempts, enqueued_at, died_at, history
FROM {schema}.dead
WHERE queue = $1 AND ($3::text IS NULL OR seq < (SELECT seq FROM {schema}.dead WHERE id = $3 AND queue = $1))
ORDER BY seq DESC
LIMIT $2
