-- A page of dead letters, the most recent first. KEYS: a queue's. A: how many at most, and the id behind which to go on, or ''.
-- Answers: ids, and their dead letters.
local first = 0
if A[2] ~= '' then
    local rank = redis.call('ZREVRANK', K.graves, A[2])
    if not rank then return {{}, {}} end
    first = rank + 1
end
local ids = redis.call('ZREVRANGE', K.graves, first, first + A[1] - 1)
return {ids, values_of(K.dead, ids)}
