-- What decides whether it is set up as queues need it.
SHOW VARIABLES
WHERE Variable_name IN ('version', 'read_only', 'innodb_flush_log_at_trx_commit', 'sync_binlog', 'max_connections', 'max_allowed_packet')
