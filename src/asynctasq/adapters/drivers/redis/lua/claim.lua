-- Lease due messages. KEYS: those of one queue after the other, the most urgent first.
-- ARGV: how many at most, the lease in microseconds, its token, and 1 if the claimer will wait when there is none.
-- Answers: the claimed (queue's number, id, record, attempt, expiries, flat), and the microseconds until something is due, -1 if never.
local limit, lease, token, waits = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
local at = now()
local claimed, count = {}, 0

-- Ids that are due, the earliest first: of messages that nobody holds, and of those whose lease has ended.
local function find(most)
    local due = redis.call('ZRANGEBYSCORE', K.due, '-inf', text(at), 'LIMIT', 0, most)
    if redis.call('ZCOUNT', K.leased, '-inf', text(at)) == 0 then return due end
    local waiting = redis.call('ZRANGEBYSCORE', K.due, '-inf', text(at), 'WITHSCORES', 'LIMIT', 0, most)
    local ended = redis.call('ZRANGEBYSCORE', K.leased, '-inf', text(at), 'WITHSCORES', 'LIMIT', 0, most)
    local ids, w, e = {}, 1, 1
    while #ids < most and (w < #waiting or e < #ended) do
        if e >= #ended or (w < #waiting and tonumber(waiting[w + 1]) <= tonumber(ended[e + 1])) then
            ids[#ids + 1], w = waiting[w], w + 2
        else
            ids[#ids + 1], e = ended[e], e + 2
        end
    end
    return ids
end

local function take(ids, queue)
    local records, states = values_of(K.messages, ids), values_of(K.states, ids)
    local leases, fresh = {}, {}
    for i, id in ipairs(ids) do
        local record, state = records[i], states[i]
        local kind = string.sub(id, 1, 1)
        if record and #record >= 8 and (not state or #state == 16) and (kind == 's' or kind == 'u' and #id == 17) then
            local holder, attempts, expiries = state_of(state)
            if holder ~= FREE then expiries = expiries + 1 end
            local n = #claimed
            claimed[n + 1], claimed[n + 2], claimed[n + 3] = queue, id, record
            claimed[n + 4], claimed[n + 5] = attempts + 1, expiries
            count = count + 1
            fresh[#fresh + 1], fresh[#fresh + 2] = id, struct.pack('>c8I4I4', token, attempts + 1, expiries)
            leases[#leases + 1], leases[#leases + 2] = text(at + lease), id
        else
            bury(id, at + i, 'corrupt: what is stored under this id is not a message', '', 0, record or '')
            forget({id})
        end
    end
    in_parts(fresh, function(...) redis.call('HSET', K.states, ...) end)
    in_parts(leases, function(...) redis.call('ZADD', K.leased, ...) end)
    in_parts(ids, function(...) redis.call('ZREM', K.due, ...) end)
end

for first = 1, #KEYS, 9 do
    K = keys_of(first)
    while count < limit do
        local ids = find(limit - count)
        if #ids == 0 then break end
        take(ids, (first - 1) / 9)
    end
    if count == limit then break end
end
if count > 0 then return {claimed, 0} end

local soonest = math.huge
for first = 1, #KEYS, 9 do
    K = keys_of(first)
    for _, set in ipairs({K.due, K.leased}) do
        local next = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
        if next then soonest = math.min(soonest, tonumber(next)) end
    end
    if waits then redis.call('SET', K.idle, '1') end
end
return {claimed, soonest < math.huge and text(math.max(soonest - at, 0)) or '-1'}
