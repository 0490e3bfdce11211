-- Let the leases of claims end :lease microseconds from now.
UPDATE {message} FORCE INDEX (PRIMARY) SET visible_at = {now} + :lease WHERE :fence
