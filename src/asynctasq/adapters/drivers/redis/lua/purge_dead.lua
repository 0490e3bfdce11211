-- Remove dead letters for good. KEYS: a queue's. A: ids. Answers per id: 1 if it was dead.
local answers = {}
for i, id in ipairs(A) do
    answers[i] = redis.call('HDEL', K.dead, id)
    redis.call('ZREM', K.graves, id)
end
return answers
