-- The receipts that are still valid, as one text.
SELECT GROUP_CONCAT(seq, '-', receipt) FROM {message} FORCE INDEX (PRIMARY) WHERE :fence
