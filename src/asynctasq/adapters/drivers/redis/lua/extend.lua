-- Let leases end later. KEYS: a queue's. A: the lease in microseconds, then per claim its id and its token.
-- Answers the places, from 0, of those whose token is not valid. One whose lease has ended may be.
local ends = text(now() + A[1])
local ids, lost = {}, {}
for i = 2, #A, 2 do ids[#ids + 1] = A[i] end
local states = values_of(K.states, ids)
check_keys()
without_memory()
for i, id in ipairs(ids) do
    local token = state_of(states[i])
    if token ~= FREE and token == A[2 * i + 1] then
        redis.call('ZADD', K.leased, ends, id)
    else
        lost[#lost + 1] = i - 1
    end
end
return lost
