-- The error (?6, at ?5) joins the history, of which the last ?7 entries are kept.
UPDATE message
SET visible_at = ?4, receipt = NULL, worker = NULL,
    history = json_insert(
        CASE
            WHEN history IS NULL OR NOT json_valid(history) THEN '[]'
            WHEN json_array_length(history) >= ?7 THEN json_remove(history, '$[0]')
            ELSE history
        END,
        '$[#]', json_array(attempt, ?5, ?6)
    )
WHERE seq = ?2 AND receipt = ?3
RETURNING ?1
