-- Which of the messages of these ids are there, and whether a batch has created them.
SELECT queue, id, batch = :batch FROM {message} FORCE INDEX (message_id) WHERE id IN (:ids)
