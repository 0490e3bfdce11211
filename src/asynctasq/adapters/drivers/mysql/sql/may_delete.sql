-- Whether the user may do it: explained, and not done.
EXPLAIN DELETE FROM {message} WHERE seq = 0
