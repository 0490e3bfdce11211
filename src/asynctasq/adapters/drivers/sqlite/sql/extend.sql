UPDATE message SET visible_at = ?4 WHERE seq = ?2 AND receipt = ?3 RETURNING ?1
