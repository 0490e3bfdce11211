-- Lock the dead letters of these ids.
SELECT seq, id FROM {message} FORCE INDEX (message_id) WHERE id IN (:ids) AND visible_at < 0 FOR UPDATE
