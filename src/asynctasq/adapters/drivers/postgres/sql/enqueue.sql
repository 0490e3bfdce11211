-- Store messages (queues $1, ids $2, bodies $3, delays $4) whose ids are not dead. Answers them. An id that is alive is refused.
WITH clock AS MATERIALIZED (SELECT {now} AS at)
INSERT INTO {schema}.message (queue, id, body, visible_at, enqueued_at)
SELECT given.queue, given.id, given.body, clock.at + given.delay, clock.at
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[]) WITH ORDINALITY AS given (queue, id, body, delay, n)
CROSS JOIN clock
WHERE NOT EXISTS (SELECT FROM {schema}.dead WHERE dead.id = given.id AND dead.queue = given.queue)
ORDER BY given.n
RETURNING queue, id
