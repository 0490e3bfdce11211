-- The name that follows another. A planner that takes a full table for an empty one would read all of it for all the names.
SELECT MIN(queue) FROM {message} FORCE INDEX (message_due) WHERE queue > :last
