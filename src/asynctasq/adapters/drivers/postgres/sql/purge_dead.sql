DELETE FROM {schema}.dead WHERE id = ANY ($1::text[]) RETURNING id
