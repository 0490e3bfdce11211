INSERT INTO message (id, queue, body, visible_at, enqueued_at) VALUES (?1, ?2, ?3, ?4, ?5)
