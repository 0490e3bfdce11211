-- Lease due messages. KEYS: those of one queue after the other, the most urgent first.
-- A: how many at most, the lease in microseconds, its token, and 1 if the claimer will wait when there is none.
-- Answers: the claimed (queue's number, id, record, attempt, expiries, flat), the microseconds until something is due, -1 if never,
-- and what is wrong with queues that cannot be served (number, error, flat).
local limit, lease, token, waits = A[1], A[2], A[3], A[4] == 1
local at = now()
local claimed, count, corrupt, broken = {}, 0, 0, {}
local MOST_CORRUPT = 1000  -- of one call; the next one goes on

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

local function is_one_of_ours(id, record, state)
    local kind = string.sub(id, 1, 1)
    return parts_of(record) and (not state or #state == 16) and (kind == 's' or kind == 'u' and #id == 17)
end

local function take(ids, queue)
    local records, states = values_of(K.messages, ids), values_of(K.states, ids)
    local leases, fresh = {}, {}
    in_parts(ids, function(...) redis.call('ZREM', K.due, ...) end)  -- first: it needs no memory
    for i, id in ipairs(ids) do
        local record, state = records[i], states[i]
        if is_one_of_ours(id, record, state) then
            local holder, attempts, expiries = state_of(state)
            if holder ~= FREE then expiries = expiries + 1 end
            local n = #claimed
            claimed[n + 1], claimed[n + 2], claimed[n + 3] = queue, id, record
            claimed[n + 4], claimed[n + 5] = attempts + 1, expiries
            count = count + 1
            fresh[#fresh + 1], fresh[#fresh + 2] = id, struct.pack('>c8I4I4', token, attempts + 1, expiries)
            leases[#leases + 1], leases[#leases + 2] = text(at + lease), id
        else
            -- Under a name that can be asked for, as what is no id of ours cannot.
            local kind = string.sub(id, 1, 1)
            local name = (kind == 's' or kind == 'u' and #id == 17) and id or 'sforeign:' .. id
            bury(name, at + i, 'corrupt: what is stored under this id is not a message', '', 0, record or '')
            forget({id})
            corrupt = corrupt + 1
        end
    end
    in_parts(fresh, function(...) redis.call('HSET', K.states, ...) end)
    in_parts(leases, function(...) redis.call('ZADD', K.leased, ...) end)
end

local function serve(queue)
    check_keys()
    while count < limit and corrupt < MOST_CORRUPT do
        local ids = find(math.min(limit - count, MOST_CORRUPT))
        if #ids == 0 then break end
        take(ids, queue)
    end
end

-- A queue that is broken holds up no other.
local function guarded(f, queue)
    local ok, problem = pcall(f, queue)
    if not ok then
        broken[#broken + 1], broken[#broken + 2] = queue, type(problem) == 'table' and problem.err or problem
    end
    return ok
end

for first = 1, #KEYS, 9 do
    K = keys_of(first)
    guarded(serve, (first - 1) / 9)
    if count == limit then break end
end
if count > 0 then return {claimed, 0, broken} end
if #broken == #KEYS / 9 * 2 then return {err = broken[2]} end

local soonest, looked = math.huge, {}
for n = 1, #broken, 2 do looked[broken[n]] = true end
for first = 1, #KEYS, 9 do
    if not looked[(first - 1) / 9] then
        K = keys_of(first)
        for _, set in ipairs({K.due, K.leased}) do
            local next = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
            if next then soonest = math.min(soonest, tonumber(next)) end
        end
        local said = waits and redis.pcall('SET', K.idle, '1')
        -- A hint, for which there may be no memory; but a replica must not be waited at.
        if said and said.err and not string.find(said.err, 'OOM', 1, true) then return said end
    end
end
return {claimed, soonest < math.huge and text(math.max(soonest - at, 0)) or '-1', broken}
