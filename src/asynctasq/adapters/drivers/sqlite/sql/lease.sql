-- A receipt that is still there belongs to a lease that ended unsettled. Each gets a number of its own: ?2 is random.
UPDATE message
SET visible_at = ?1, receipt = ?2 + seq, attempt = attempt + 1, expiries = expiries + (receipt IS NOT NULL), worker = ?3
WHERE seq IN (SELECT value FROM json_each(?4))
