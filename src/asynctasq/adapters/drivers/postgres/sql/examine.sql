-- What decides whether it is set up as queues need it.
SELECT
    current_setting('server_version') AS version,
    pg_is_in_recovery() AS replica,
    current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS commit,
    current_setting('default_transaction_isolation') AS isolation,
    current_setting('max_connections')::integer AS max_connections,
    current_user::text AS user,
    ARRAY(
        SELECT name || ': ' || privilege
        FROM unnest(ARRAY['message', 'dead']) AS name, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE NOT has_table_privilege(format('%I.%I', '{name}', name)::regclass, privilege)
    ) AS missing
