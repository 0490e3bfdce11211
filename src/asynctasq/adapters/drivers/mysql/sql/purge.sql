-- A piece of it, so that nobody waits for the whole.
DELETE FROM {message} WHERE queue = :queue AND visible_at >= 0 ORDER BY visible_at LIMIT :piece
