SELECT id, queue, body, receipt, attempt, expiries, enqueued_at, visible_at - {now} AS due_in
FROM {schema}.message WHERE id = ANY ($1::text[])
