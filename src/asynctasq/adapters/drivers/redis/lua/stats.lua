-- Count. KEYS: a queue's. Answers: ready, delayed, leased, dead, and the microseconds that the oldest ready one has been due.
local at = text(now())
local ready, oldest = 0, math.huge
for _, set in ipairs({K.due, K.leased}) do
    ready = ready + redis.call('ZCOUNT', set, '-inf', at)
    local first = redis.call('ZRANGEBYSCORE', set, '-inf', at, 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if first then oldest = math.min(oldest, tonumber(first)) end
end
return {
    ready,
    redis.call('ZCOUNT', K.due, '(' .. at, '+inf'),
    redis.call('ZCOUNT', K.leased, '(' .. at, '+inf'),
    redis.call('ZCARD', K.graves),
    ready > 0 and text(tonumber(at) - math.max(oldest, 0)) or '-1',
}
