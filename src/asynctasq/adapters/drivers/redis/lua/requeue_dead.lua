-- Make dead letters ready again, as if they had just been enqueued. KEYS: a queue's. A: ids. Answers per id: 1 if it was
-- dead and can be read.
check_keys()
local at = now()
local answers = {}
for i, id in ipairs(A) do
    local letter = redis.call('HGET', K.dead, id)
    local _, _, _, enqueued_at, _, body = unpack(letter and list_of(letter) or {})
    answers[i] = 0
    if type(enqueued_at) == 'number' and type(body) == 'string' then
        answers[i] = 1
        redis.call('HSET', K.messages, id, struct.pack('>d', enqueued_at) .. body)
        redis.call('ZADD', K.due, text(next_rank(at, 1)), id)
        redis.call('HDEL', K.dead, id)
        redis.call('ZREM', K.graves, id)
        wake()
    end
end
return answers
