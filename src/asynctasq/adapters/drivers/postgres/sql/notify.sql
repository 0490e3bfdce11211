-- Tell those who listen to channel $1 that there is work in the queues $2.
SELECT pg_notify($1, told.queue)::text FROM unnest($2::text[]) AS told (queue)
