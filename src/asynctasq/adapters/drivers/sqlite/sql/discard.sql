DELETE FROM message WHERE seq = ?1
