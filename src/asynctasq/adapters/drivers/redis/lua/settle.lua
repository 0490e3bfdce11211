-- Carry out verdicts in order. KEYS: a queue's. A: how many errors are kept of a message, then per settlement its id,
-- its token, a verdict ('ack', 'retry', 'release', 'dead'), and three values: the delay in microseconds, the reason, the error.
-- Answers the places, from 0, of those whose token is not valid.
check_keys()
without_memory()
local kept = A[1]
local at = now()
local ids, lost, acked, settled = {}, {}, {}, {}
for i = 2, #A, 6 do ids[#ids + 1] = A[i] end
local states = values_of(K.states, ids)
local shown = false

local function remember(id, attempt, error)
    local errors = redis.call('HGET', K.errors, id)
    errors = errors and list_of(errors) or {}
    errors[#errors + 1] = {attempt, at, error}
    if #errors > kept then table.remove(errors, 1) end
    redis.call('HSET', K.errors, id, cmsgpack.pack(errors))
end

local function show(id, delay, attempts, expiries)
    redis.call('HSET', K.states, id, struct.pack('>c8I4I4', FREE, attempts, expiries))
    redis.call('ZADD', K.due, text(at + delay), id)
    redis.call('ZREM', K.leased, id)
    shown = true
end

for i, id in ipairs(ids) do
    local given = 6 * i - 4
    local token, verdict, delay = A[given + 1], A[given + 2], A[given + 3]
    local holder, attempts, expiries = state_of(states[i])
    if not (token == holder and holder ~= FREE and not settled[id]) then
        lost[#lost + 1] = i - 1
    else
        settled[id] = true
        if verdict == 'ack' then
            acked[#acked + 1] = id
        elseif verdict == 'retry' then
            remember(id, attempts, A[given + 5])
            show(id, delay, attempts, expiries)
        elseif verdict == 'release' then
            show(id, delay, attempts - 1, expiries)
        else
            local history = redis.call('HGET', K.errors, id)
            local record = redis.call('HGET', K.messages, id) or ''
            bury(id, at + i, A[given + 4], A[given + 5], attempts, record, history)
            acked[#acked + 1] = id
        end
    end
end
forget(acked)
if shown then wake() end
return lost
