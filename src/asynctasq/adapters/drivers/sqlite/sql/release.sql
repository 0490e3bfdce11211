UPDATE message
SET visible_at = ?4, attempt = max(attempt - 1, 0), receipt = NULL, worker = NULL
WHERE seq = ?2 AND receipt = ?3
RETURNING ?1
