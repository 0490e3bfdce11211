-- When the first message of these queues (?1, a JSON array) is due: one index look-up per queue.
SELECT min((SELECT visible_at FROM message WHERE queue = wanted.value ORDER BY visible_at LIMIT 1))
FROM json_each(?1) AS wanted
