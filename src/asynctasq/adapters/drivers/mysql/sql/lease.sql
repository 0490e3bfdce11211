-- Lease what take.sql has locked. Assignments are carried out in their order; no number that a stranger has written stops the queue.
UPDATE {message} FORCE INDEX (PRIMARY)
SET visible_at = {now} + :lease,
    attempt = LEAST(attempt, 2147483646) + 1,
    expiries = LEAST(expiries, 2147483646) + (receipt IS NOT NULL),
    receipt = :receipt,
    worker = :worker
WHERE seq IN (:seqs)
