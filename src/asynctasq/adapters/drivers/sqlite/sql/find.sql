SELECT id, queue, body, receipt, attempt, expiries, enqueued_at, visible_at FROM message WHERE id = ?1
