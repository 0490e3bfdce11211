WITH gone AS (DELETE FROM {schema}.message WHERE queue = $1 RETURNING seq) SELECT count(*) FROM gone
