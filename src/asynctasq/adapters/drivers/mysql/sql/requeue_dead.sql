-- Make dead letters ready again, as if they had just been enqueued, in the order in which they are given.
UPDATE {message} FORCE INDEX (PRIMARY)
SET visible_at = {now} - :count + FIELD(seq, :seqs),
    attempt = 0,
    expiries = 0,
    receipt = NULL,
    history = NULL,
    reason = NULL,
    error = NULL
WHERE seq IN (:seqs)
