-- Let the leases of claims (rows $1, receipts $2) end $3 microseconds from now. Answers those that are still held.
UPDATE {schema}.message
SET visible_at = {now} + $3
FROM unnest($1::bigint[], $2::bigint[]) AS held (seq, receipt)
WHERE message.seq = held.seq AND message.receipt = held.receipt
RETURNING message.seq, message.receipt
