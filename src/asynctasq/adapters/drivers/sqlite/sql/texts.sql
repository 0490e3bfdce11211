SELECT id, history FROM message WHERE seq = ?1
