-- How the queues $1 stand.
SELECT count.*, count.at - (
        SELECT message.visible_at FROM {schema}.message
        WHERE message.queue = wanted.queue ORDER BY message.visible_at LIMIT 1
    ) AS oldest,
    (SELECT count(*) FROM {schema}.dead WHERE dead.queue = wanted.queue) AS dead
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (queue, n)
CROSS JOIN (SELECT {now} AS at) AS clock
CROSS JOIN LATERAL (
    SELECT
        clock.at,
        count(*) FILTER (WHERE visible_at <= clock.at) AS ready,
        count(*) FILTER (WHERE visible_at > clock.at AND receipt IS NULL) AS delayed,
        count(*) FILTER (WHERE visible_at > clock.at AND receipt IS NOT NULL) AS leased
    FROM {schema}.message
    WHERE message.queue = wanted.queue
) AS count
ORDER BY wanted.n
