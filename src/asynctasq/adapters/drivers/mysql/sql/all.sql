-- Is refused, which ends a packet before its COMMIT, where the statement before it has changed fewer than :count rows.
SET @left = CAST(ROW_COUNT() AS UNSIGNED) - :count
