-- Carry out the verdicts retry, release and dead on the claims that are given; :kept errors of a message are kept.
UPDATE (:given) AS given
STRAIGHT_JOIN {message} AS message FORCE INDEX (PRIMARY) ON message.seq = given.seq AND message.receipt = given.receipt
SET message.visible_at = IF(given.verdict = 'dead', -({now} + given.n), {now} + given.delay),
    message.receipt = NULL,
    message.worker = NULL,
    message.attempt = IF(given.verdict = 'release', GREATEST(message.attempt - 1, 0), message.attempt),
    message.reason = given.reason,
    message.error = IF(given.verdict = 'dead', given.error, NULL),
    message.history = IF(given.verdict <> 'retry', message.history, JSON_ARRAY_APPEND(
        IF(JSON_LENGTH(message.history) >= :kept, JSON_REMOVE(message.history, '$[0]'), COALESCE(message.history, JSON_ARRAY())),
        '$', JSON_ARRAY(message.attempt, {now}, given.error)
    ))
