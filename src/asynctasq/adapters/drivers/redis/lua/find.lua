-- Look for messages that are alive. KEYS: a queue's. A: ids.
-- Answers: per id that is there its place among them (from 0), when it was enqueued, its body, 1 if a lease was given, attempts,
-- expiries, and the microseconds until its delay or its lease ends.
local at = now()
local found = {}
local records = values_of(K.messages, A)
for i, id in ipairs(A) do
    local record = records[i]
    local due = record and redis.call('ZSCORE', K.leased, id)
    local leased = due and 1 or 0
    due = due or record and redis.call('ZSCORE', K.due, id)
    if due then
        local enqueued_at, body = parts_of(record)
        if not enqueued_at then enqueued_at, body = 0, record end
        local state = redis.call('HGET', K.states, id)
        local _, attempts, expiries = state_of(state and #state == 16 and state)
        found[#found + 1] = {i - 1, text(enqueued_at), body, leased, attempts, expiries, text(due - at)}
    end
end
return found
