-- Of the tables, of the server (120000 is 12), how it writes texts down, and whether it has taken the first of our settings.
SELECT
    max(version) AS tables,
    current_setting('server_version_num')::integer AS server,
    current_setting('server_encoding') AS encoding,
    current_setting('enable_bitmapscan') = 'off' AS is_set
FROM {schema}.version
