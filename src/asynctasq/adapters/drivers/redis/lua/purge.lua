-- Remove everything but the dead. KEYS: a queue's. Answers how many messages that were.
local count = redis.call('ZCARD', K.due) + redis.call('ZCARD', K.leased)
redis.call('UNLINK', K.due, K.leased, K.messages, K.states, K.errors)
return count
