SELECT id, queue, body, reason, error, attempts, enqueued_at, died_at, history FROM {schema}.dead WHERE id = ANY ($1::text[])
