-- Skips from one name to the next in the index, so that a million rows of one queue cost one look-up.
WITH RECURSIVE
    live (name) AS (
        SELECT min(queue) FROM {schema}.message
        UNION ALL
        SELECT (SELECT min(queue) FROM {schema}.message WHERE queue > live.name) FROM live WHERE live.name IS NOT NULL
    ),
    buried (name) AS (
        SELECT min(queue) FROM {schema}.dead
        UNION ALL
        SELECT (SELECT min(queue) FROM {schema}.dead WHERE queue > buried.name) FROM buried WHERE buried.name IS NOT NULL
    )
SELECT name FROM live WHERE name IS NOT NULL
UNION
SELECT name FROM buried WHERE name IS NOT NULL
ORDER BY name
