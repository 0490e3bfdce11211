-- How the queues (?1, a JSON array) stand at ?2.
SELECT
    wanted.value,
    (SELECT count(*) FROM message WHERE queue = wanted.value AND visible_at <= ?2),
    (SELECT count(*) FROM message WHERE queue = wanted.value AND visible_at > ?2),
    (SELECT count(*) FROM message WHERE queue = wanted.value AND visible_at > ?2 AND receipt IS NOT NULL),
    (SELECT count(*) FROM dead WHERE queue = wanted.value),
    (SELECT min(visible_at) FROM message WHERE queue = wanted.value)
FROM json_each(?1) AS wanted
ORDER BY wanted.rowid
