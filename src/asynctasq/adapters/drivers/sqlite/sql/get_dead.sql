SELECT id, queue, body, reason, error, attempts, enqueued_at, died_at, history FROM dead WHERE id = ?1
