-- Of the tables, of the server (120000 is 12), and how it writes texts down.
SELECT max(version) AS tables, current_setting('server_version_num')::integer AS server, current_setting('server_encoding') AS encoding
FROM {schema}.version
