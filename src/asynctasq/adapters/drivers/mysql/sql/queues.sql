SELECT DISTINCT queue FROM {message} FORCE INDEX (message_due) ORDER BY queue
