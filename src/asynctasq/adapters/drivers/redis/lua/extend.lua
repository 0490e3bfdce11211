-- Let leases end later. KEYS: a queue's. A: the lease in microseconds, then per claim its id and its token.
-- Answers per claim: 1 if its token is still valid, whether its lease had ended or not.
local ends = text(now() + A[1])
local ids, answers = {}, {}
for i = 2, #A, 2 do ids[#ids + 1] = A[i] end
local states = values_of(K.states, ids)
check_keys()
without_memory()
for i, id in ipairs(ids) do
    local token = state_of(states[i])
    answers[i] = (token ~= FREE and token == A[2 * i + 1]) and 1 or 0
    if answers[i] == 1 then redis.call('ZADD', K.leased, ends, id) end
end
return answers
