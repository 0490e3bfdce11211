-- Store messages. KEYS: a queue's. A: per message its id, its delay in microseconds and its body.
-- Answers per message: 1 if it is new, 0 if it is there already, alive or dead.
check_keys()
local at = now()
local n = #A / 3
-- Messages of one batch are a microsecond apart, so that they keep their order; they start in the past to be due at once.
local rank = next_rank(at, n)
local any_dead = redis.call('HLEN', K.dead) > 0
local answers, scores = {}, {}
for i = 1, n do
    local id, delay, body = A[3 * i - 2], A[3 * i - 1], A[3 * i]
    local is_new = not (any_dead and redis.call('HEXISTS', K.dead, id) == 1)
        and redis.call('HSETNX', K.messages, id, struct.pack('>d', at) .. body) == 1
    answers[i] = is_new and 1 or 0
    if is_new then
        scores[#scores + 1] = text(delay == 0 and rank or at + delay + i)
        scores[#scores + 1] = id
    end
    rank = rank + 1
end
in_parts(scores, function(...) redis.call('ZADD', K.due, ...) end)
if #scores > 0 then wake() end
return answers
