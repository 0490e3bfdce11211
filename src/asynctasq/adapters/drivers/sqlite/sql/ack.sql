DELETE FROM message WHERE seq = ?2 AND receipt = ?3 RETURNING ?1
