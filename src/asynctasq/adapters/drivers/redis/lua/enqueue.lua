-- Store messages, a thousand at most, which Lua's stack holds. KEYS: a queue's. A: per message its id, its delay in microseconds
-- and its body.
-- Answers the places, from 0, of those that are there already, alive or dead.
check_keys()
local at = now()
local n = #A / 3
-- Messages of one batch are a microsecond apart, so that they keep their order; they start in the past to be due at once.
local rank = next_rank(at, n)
local stamp = struct.pack('>d', at)
local ids = {}
for i = 1, n do ids[i] = A[3 * i - 2] end
local there = redis.call('HMGET', K.messages, unpack(ids))
local any_dead = redis.call('HLEN', K.dead) > 0
local known, records, scores, last, ours = {}, {}, {}, 0, {}
for i = 1, n do
    local id, delay = ids[i], A[3 * i - 1]
    if there[i] or ours[id] or (any_dead and redis.call('HEXISTS', K.dead, id) == 1) then
        known[#known + 1] = i - 1
    else
        ours[id] = true
        records[last + 1], records[last + 2] = id, stamp .. A[3 * i]
        -- A number as it is: as an argument it is written with 17 digits, and a due time has 16.
        scores[last + 1], scores[last + 2] = delay == 0 and rank or at + delay + i, id
        last = last + 2
    end
    rank = rank + 1
end
if last > 0 then
    redis.call('HSET', K.messages, unpack(records))
    redis.call('ZADD', K.due, unpack(scores))
    wake()
end
return known
