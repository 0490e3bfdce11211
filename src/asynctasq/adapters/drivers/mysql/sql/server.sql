-- What decides whether a server will do.
SHOW VARIABLES
WHERE Variable_name IN ('version', 'max_allowed_packet', 'innodb_flush_log_at_trx_commit', 'log_bin', 'binlog_format', 'read_only')
