-- Lease up to $2 due messages of the queues $1, the most urgent first, for $3 microseconds, with receipt $4, to worker $5.
-- If none is due, one row tells when the next one will be, in microseconds: null if never, 0 if others are claiming it.
WITH clock AS MATERIALIZED (SELECT {now} AS at),
due AS MATERIALIZED (
    SELECT wanted.n, found.seq, found.visible_at
    FROM unnest($1::text[]) WITH ORDINALITY AS wanted (queue, n)
    CROSS JOIN LATERAL (
        SELECT message.seq, message.visible_at
        FROM {schema}.message
        WHERE message.queue = wanted.queue AND message.visible_at <= (SELECT at FROM clock)
        ORDER BY message.visible_at, message.seq
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS found
    LIMIT $2
),
taken AS (
    -- An array, and no join: the planner, which cannot know the LIMIT, might read the whole table for one.
    UPDATE {schema}.message
    SET visible_at = (SELECT at FROM clock) + $3,
        -- No number that a stranger has written stops the queue.
        attempt = least(attempt, 2147483646) + 1,
        expiries = least(expiries, 2147483646) + (receipt IS NOT NULL)::integer,
        receipt = $4,
        worker = $5
    WHERE seq = ANY (ARRAY(SELECT seq FROM due))
    RETURNING seq, queue, id, body, attempt, enqueued_at, expiries
)
SELECT taken.*, due.n, due.visible_at, NULL::bigint AS due_in
FROM taken JOIN due USING (seq)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, (
    SELECT min(greatest(next.visible_at - clock.at, 0))
    FROM clock CROSS JOIN unnest($1::text[]) AS wanted (queue)
    CROSS JOIN LATERAL (
        SELECT message.visible_at
        FROM {schema}.message
        WHERE message.queue = wanted.queue
        ORDER BY message.visible_at
        LIMIT 1
    ) AS next
)
WHERE NOT EXISTS (SELECT FROM due)
ORDER BY n, visible_at, seq
