-- What each of our connections is set to. A client that stands still within a transaction holds its locks for a few seconds only,
-- and whoever waits for somebody's locks is told so after one.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET SESSION autocommit = 1,
    time_zone = '+00:00',
    sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
    wait_timeout = :quiet,
    net_write_timeout = :quiet,
    innodb_lock_wait_timeout = 1,
    lock_wait_timeout = 1,
    /*M! in_predicate_conversion_threshold = 0, */
    group_concat_max_len = 16777216
