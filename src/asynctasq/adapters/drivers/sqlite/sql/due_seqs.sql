-- The rows of due.sql by number alone, for when one of them holds text that is not UTF-8.
SELECT seq FROM message WHERE queue = ?1 AND visible_at <= ?2 ORDER BY visible_at, seq LIMIT ?3
