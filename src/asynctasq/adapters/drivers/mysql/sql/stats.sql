-- How a queue stands. One of these for each queue.
SELECT :n,
    (SELECT COUNT(*) FROM {message} FORCE INDEX (message_due) WHERE queue = :queue AND visible_at BETWEEN 0 AND {now}),
    (SELECT COUNT(*) FROM {message} FORCE INDEX (message_due) WHERE queue = :queue AND visible_at > {now} AND receipt IS NULL),
    (SELECT COUNT(*) FROM {message} FORCE INDEX (message_due) WHERE queue = :queue AND visible_at > {now} AND receipt IS NOT NULL),
    (SELECT COUNT(*) FROM {message} FORCE INDEX (message_due) WHERE queue = :queue AND visible_at < 0),
    {now} - (
        SELECT visible_at
        FROM {message} FORCE INDEX (message_due)
        WHERE queue = :queue AND visible_at >= 0
        ORDER BY visible_at
        LIMIT 1
    )
