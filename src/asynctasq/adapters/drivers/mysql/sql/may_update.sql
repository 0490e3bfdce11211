-- Whether the user may do it: explained, and not done.
EXPLAIN UPDATE {message} SET batch = batch + 1 WHERE seq = 0
