-- Whether a dead letter comes after that of id :after in the order of list_dead.sql.
visible_at >= (
    SELECT last.visible_at FROM {message} AS last FORCE INDEX (message_id)
    WHERE last.id = :after AND last.queue = :queue AND last.visible_at < 0
) AND (visible_at, seq) > (
    SELECT last.visible_at, last.seq FROM {message} AS last FORCE INDEX (message_id)
    WHERE last.id = :after AND last.queue = :queue AND last.visible_at < 0
)
