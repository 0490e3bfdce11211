-- Which of these ids (?1, a JSON array) are taken: ready, delayed, leased or dead.
SELECT id FROM message WHERE id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT id FROM dead WHERE id IN (SELECT value FROM json_each(?1))
