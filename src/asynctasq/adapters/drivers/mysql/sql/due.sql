-- When the next message of a queue is due, in microseconds: null if there is none. One of these for each queue.
SELECT :n, (
    SELECT visible_at
    FROM {message} FORCE INDEX (message_due)
    WHERE queue = :queue AND visible_at >= 0
    ORDER BY visible_at
    LIMIT 1
) - {now}
