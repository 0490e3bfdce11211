DELETE FROM message WHERE queue = ?1
