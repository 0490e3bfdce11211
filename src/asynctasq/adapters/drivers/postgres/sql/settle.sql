-- Carry out verdicts ($3: ack, retry, release, dead) on claims (rows $1, receipts $2), each once, with delays $4, reasons $5 and
-- errors $6; $7 errors of a message are kept. Answers those whose receipt was valid.
WITH clock AS MATERIALIZED (SELECT {now} AS at),
given AS MATERIALIZED (
    SELECT *
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[])
    WITH ORDINALITY AS given (seq, receipt, verdict, delay, reason, error, n)
),
gone AS (
    DELETE FROM {schema}.message
    USING given
    WHERE message.seq = given.seq AND message.receipt = given.receipt
        AND given.verdict IN ('ack', 'dead')
    RETURNING message.*, given.verdict, given.reason, given.error, given.n
),
buried AS (
    INSERT INTO {schema}.dead (queue, id, body, reason, error, attempts, enqueued_at, died_at, history)
    SELECT queue, id, body, reason, error, attempt, enqueued_at, clock.at, history
    FROM gone CROSS JOIN clock
    WHERE verdict = 'dead'
    ORDER BY n
    -- The same message was enqueued again at the moment in which it died.
    ON CONFLICT (id, queue) DO UPDATE
    SET body = excluded.body, reason = excluded.reason, error = excluded.error, attempts = excluded.attempts,
        died_at = excluded.died_at, history = excluded.history
),
shown AS (
    UPDATE {schema}.message
    SET visible_at = clock.at + given.delay,
        receipt = NULL,
        worker = NULL,
        attempt = CASE given.verdict WHEN 'release' THEN greatest(attempt - 1, 0) ELSE attempt END,
        history = CASE given.verdict
            WHEN 'release' THEN history
            ELSE CASE WHEN jsonb_array_length(history) >= $7 THEN history - 0 ELSE coalesce(history, '[]') END
                || jsonb_build_array(jsonb_build_array(attempt, clock.at, given.error))
        END
    FROM given CROSS JOIN clock
    WHERE message.seq = given.seq AND message.receipt = given.receipt
        AND given.verdict IN ('retry', 'release')
    RETURNING message.seq, given.receipt
)
SELECT seq, receipt FROM gone UNION ALL SELECT seq, receipt FROM shown
