-- What every script begins with: the keys of a queue by name, the broker's clock, and what several scripts share.
--
--   due       sorted set   id -> when it is due, in microseconds: ready and delayed messages
--   leased    sorted set   id -> when its lease ends
--   messages  hash         id -> when it was enqueued (double), then the body; for as long as it is alive
--   states    hash         id -> token of the lease (8 bytes, zeros when not leased), attempts, expiries; once it was claimed
--   errors    hash         id -> errors of earlier attempts; once one failed
--   dead      hash         id -> a dead letter
--   graves    sorted set   id -> when it died
--   idle      string       present while a claimer waits for work
--   rank      string       the last due time that was given to a message without delay
local function keys_of(first)
    return {
        due = KEYS[first], leased = KEYS[first + 1], messages = KEYS[first + 2], states = KEYS[first + 3],
        errors = KEYS[first + 4], dead = KEYS[first + 5], graves = KEYS[first + 6], idle = KEYS[first + 7],
        rank = KEYS[first + 8],
    }
end
local K = keys_of(1)
-- What a batch is about comes as one packed list: a client takes long to write thousands of arguments.
local A = cmsgpack.unpack(ARGV[1])
local FREE = string.rep('\0', 8)

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

-- Lua would write a large number in scientific notation and lose digits.
local function text(number)
    return string.format('%.0f', number)
end

-- Call f with all values, no more at a time than Lua's stack holds.
local function in_parts(values, f)
    for first = 1, #values, 4000 do
        f(unpack(values, first, math.min(first + 3999, #values)))
    end
end

-- A hash's values for all ids, in order.
local function values_of(hash, ids)
    local values = {}
    in_parts(ids, function(...)
        local found = redis.call('HMGET', hash, ...)
        for i = 1, #found do values[#values + 1] = found[i] end
    end)
    return values
end

-- End here, before anything is written, if one of the keys is somebody else's: nothing that a script has done is undone.
local function check_keys()
    for _, key in ipairs({K.due, K.leased, K.graves}) do redis.call('ZCARD', key) end
    for _, key in ipairs({K.messages, K.states, K.errors, K.dead}) do redis.call('HLEN', key) end
end

-- A server without memory refuses a script whose first write needs some, and allows everything after a write that needs none.
-- What is queued already must get done then, or nothing would ever be freed.
local function without_memory()
    redis.call('ZREM', K.leased, '')
end

-- A packed list, or an empty one if a stranger has written something else there.
local function list_of(packed)
    local ok, list = pcall(cmsgpack.unpack, packed)
    return ok and type(list) == 'table' and list or {}
end

local function state_of(packed)
    if not packed then return FREE, 0, 0 end
    return struct.unpack('>c8I4I4', packed)
end

-- The first of n successive due times that follow all given before; a clock that was set back is not waited for.
local function next_rank(at, n)
    local last = tonumber(redis.call('GET', K.rank)) or 0
    local first = at - n + 1
    if last >= first and last < at + 10000 then first = last + 1 end
    redis.call('SET', K.rank, text(first + n - 1))
    return first
end

-- Tell waiting claimers to look again; the first of them to find nothing asks for it anew. A hint: where it is forbidden, they
-- look by themselves.
local function wake()
    if redis.call('DEL', K.idle) == 1 then redis.pcall('PUBLISH', K.idle, '') end
end

-- When a message was enqueued, and its body; nil if it is none.
local function parts_of(record)
    if not record or #record < 8 then return nil end
    local enqueued_at = struct.unpack('>d', record)
    if not (enqueued_at >= 0 and enqueued_at < 2 ^ 53) then return nil end
    return enqueued_at, string.sub(record, 9)
end

local function bury(id, at, reason, error, attempts, record, history)
    local enqueued_at, body = parts_of(record)
    if not enqueued_at then enqueued_at, body = 0, record end
    redis.call('HSET', K.dead, id, cmsgpack.pack({reason, error, attempts, enqueued_at, at, body, history or ''}))
    redis.call('ZADD', K.graves, text(at), id)
end

local function forget(ids)
    in_parts(ids, function(...)
        redis.call('HDEL', K.messages, ...)
        redis.call('HDEL', K.states, ...)
        redis.call('HDEL', K.errors, ...)
        redis.call('ZREM', K.leased, ...)
    end)
end
