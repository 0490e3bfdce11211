-- Make dead letters (ids $1) ready again, as if they had just been enqueued. Answers what there was.
WITH clock AS MATERIALIZED (SELECT {now} AS at),
risen AS (
    DELETE FROM {schema}.dead WHERE id = ANY ($1::text[]) RETURNING queue, id, body, enqueued_at
),
stored AS (
    INSERT INTO {schema}.message (queue, id, body, visible_at, enqueued_at)
    SELECT queue, id, body, clock.at, enqueued_at
    FROM risen CROSS JOIN clock
    ORDER BY array_position($1::text[], id)
    -- The same message was enqueued again at the moment in which it died.
    ON CONFLICT (id, queue) DO NOTHING
)
SELECT id, queue FROM risen
