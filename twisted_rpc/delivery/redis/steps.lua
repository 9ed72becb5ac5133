-- The steps of the Redis store.  Each runs whole, and alone.
--
-- ARGV: step, prefix, owner, seconds to add to the clock, the eight bounds, what the
-- step takes, and the number of the connection.  What it decides is what the table decides
-- (twisted_rpc/delivery/table.py): the store asks that about what is found here,
-- and does not believe a claim that it would not have made.

local P, ME, SKEW = ARGV[2], ARGV[3], tonumber(ARGV[4])
local WINDOW, RETENTION = tonumber(ARGV[5]), tonumber(ARGV[6])
local SESSION_BYTES, PRINCIPAL_BYTES = tonumber(ARGV[7]), tonumber(ARGV[8])
local TOTAL_BYTES = tonumber(ARGV[9])
local PER_PRINCIPAL, SESSIONS = tonumber(ARGV[10]), tonumber(ARGV[11])
local WITH_ROOM = tonumber(ARGV[12])
local A = {}
for i = 13, #ARGV - 1 do A[i - 12] = ARGV[i] end
local CONNECTION = tonumber(ARGV[#ARGV])

-- Of what is kept here; what another version means by it is not touched.
local VERSION = '2'

local RECORD, SESSION = 400, 1000
local MOST = 1000
local MAX_FLOORS = 10000

local call = redis.call
local time = call('TIME')
local NOW = tonumber(time[1]) + tonumber(time[2]) / 1e6 + SKEW

-- Numbers as texts that lose nothing.
local function text(number)
    return string.format('%.17g', number)
end

local function holder_key(holder) return P .. 'h:' .. holder end
local function records_key(holder) return P .. 'r:' .. holder end
local function record_key(holder, id) return P .. 'c:' .. holder .. ':' .. id end
local function of_key(principal) return P .. 'p:' .. principal end
local function running_key(owner) return P .. 'o:' .. owner end
local function used_key(owner) return P .. 'u:' .. owner end
local function users_key(session) return P .. 's:' .. session end
local function is_ledger(holder) return string.sub(holder, 1, 1) == '@' end

-- One name for a record wherever all are together.
local function joined(holder, id) return #holder .. ':' .. holder .. id end
local function parted(name)
    local length, rest = string.match(name, '^(%d+):(.*)$')
    return string.sub(rest, 1, tonumber(length)), string.sub(rest, tonumber(length) + 1)
end

local function get(holder, field) return call('HGET', holder_key(holder), field) end

local function grow(holder, size)
    if size ~= 0 then
        call('HINCRBY', holder_key(holder), 'bytes', size)
        call('INCRBY', P .. 'bytes', size)
    end
end

local function drop(holder, id)
    local key = record_key(holder, id)
    local kept = call('HMGET', key, 'size', 'owner', 'state')
    if not kept[1] then return end
    grow(holder, -tonumber(kept[1]))
    call('DEL', key)
    call('ZREM', records_key(holder), id)
    local name = joined(holder, id)
    if kept[3] == 'IN_PROGRESS' then
        call('SREM', running_key(kept[2]), name)
        call('HINCRBY', holder_key(holder), 'running', -1)
    end
    call('ZREM', P .. 'doubt', name)
    call('ZREM', P .. 'ended', name)
end

local function end_session(session)
    if call('EXISTS', holder_key(session)) == 0 then return end
    for _, id in ipairs(call('ZRANGE', records_key(session), 0, -1)) do
        drop(session, id)
    end
    call('INCRBY', P .. 'bytes', -SESSION)
    call('ZREM', of_key(get(session, 'principal')), session)
    call('ZREM', P .. 'sessions', session)
    call('ZREM', P .. 'idle', session)
    for _, owner in ipairs(call('SMEMBERS', users_key(session))) do
        call('SREM', used_key(owner), session)
    end
    call('DEL', holder_key(session), records_key(session), users_key(session))
end

-- Redis has been started anew, or is another one: what it did last may be lost, so
-- all sessions end, and whatever was asked without one may have run.
local function check_life()
    local life = string.match(call('INFO', 'server'), 'run_id:(%w+)')
    if call('GET', P .. 'life') == life then return end
    for _, session in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do
        end_session(session)
    end
    local base = math.max(tonumber(call('GET', P .. 'floor') or '0'), NOW)
    call('SET', P .. 'floor', text(base))
    for _, holder in ipairs(call('ZRANGE', P .. 'ledgers', 0, -1)) do
        local floor = math.max(tonumber(get(holder, 'floor')), NOW)
        call('HSET', holder_key(holder), 'floor', text(floor))
        call('ZADD', P .. 'ledgers', text(floor), holder)
    end
    call('SET', P .. 'life', life)
end

-- The first had no number.
local function check_version()
    local found = call('GET', P .. 'version') or (call('EXISTS', P .. 'life') == 1 and '1')
    if found and found ~= VERSION then
        return 'the keys that begin with ' .. P .. ' were made by another version of this'
            .. ' program: they are version ' .. found .. ', not ' .. VERSION
            .. '; choose another prefix'
    end
    call('SET', P .. 'version', VERSION)
end

-- A step that comes over a connection for which its server has another was given up,
-- and what followed has been done: something between may have held it back.
local function is_late()
    local last = tonumber(call('HGET', P .. 'connections', ME) or '0')
    if CONNECTION > last then call('HSET', P .. 'connections', ME, CONNECTION) end
    return CONNECTION < last
end

local function gone(owner)
    local lease = call('ZSCORE', P .. 'owners', owner)
    return not lease or tonumber(lease) < NOW
end

-- A record stops running.
local function stopped(holder, id, owner)
    call('SREM', running_key(owner), joined(holder, id))
    call('HINCRBY', holder_key(holder), 'running', -1)
end

local function ended(holder, id)
    call('HSET', record_key(holder, id), 'ended', text(NOW))
    if is_ledger(holder) then
        call('ZADD', P .. 'ended', text(NOW), joined(holder, id))
    end
end

-- A server uses a session, or does not any more; the last one leaves it idle.
local function use(session, owner)
    call('SADD', users_key(session), owner)
    call('SADD', used_key(owner), session)
    call('ZREM', P .. 'idle', session)
end

local function leave(session, owner)
    call('SREM', used_key(owner), session)
    if call('SREM', users_key(session), owner) == 1
            and call('EXISTS', users_key(session)) == 0 then
        call('ZADD', P .. 'idle', text(NOW), session)
    end
end

local function doubt(holder, id, owner)
    stopped(holder, id, owner)
    call('HSET', record_key(holder, id), 'state', 'IN_DOUBT')
    call('ZADD', P .. 'doubt', text(NOW), joined(holder, id))
    ended(holder, id)
end

local function settle(owner)
    for _, name in ipairs(call('SMEMBERS', running_key(owner))) do
        local holder, id = parted(name)
        local key = record_key(holder, id)
        if call('HGET', key, 'delivery') == 'once' then
            doubt(holder, id, owner)
        else
            stopped(holder, id, owner)
            call('HSET', key, 'state', 'RECLAIMABLE')
            ended(holder, id)
        end
    end
    for _, session in ipairs(call('SMEMBERS', used_key(owner))) do
        leave(session, owner)
    end
    call('DEL', running_key(owner))
    call('HDEL', P .. 'connections', owner)
    call('ZREM', P .. 'owners', owner)
end

local function settle_gone()
    for _, owner in ipairs(call('ZRANGEBYSCORE', P .. 'owners', '-inf', '(' .. text(NOW))) do
        if owner ~= ME then settle(owner) end
    end
end

-- Drop a record without a session and raise its principal's floor, in one step.
local function forget(holder, id)
    local stamp = tonumber(call('HGET', record_key(holder, id), 'stamp'))
    if stamp > tonumber(get(holder, 'floor')) then
        call('HSET', holder_key(holder), 'floor', text(stamp))
        call('ZADD', P .. 'ledgers', text(stamp), holder)
    end
    drop(holder, id)
end

local function bytes(holder) return tonumber(get(holder, 'bytes') or '0') end

-- Bodies go first, then records without a session, the oldest first.
local function shrink(holder, target)
    local ids = call('ZRANGE', records_key(holder), 0, -1)
    for _, id in ipairs(ids) do
        if bytes(holder) <= target then return end
        local key = record_key(holder, id)
        local kept = call('HMGET', key, 'state', 'size')
        if kept[1] == 'DONE' then
            call('HSET', key, 'state', 'TOMBSTONE', 'size', RECORD)
            call('HDEL', key, 'outcome')
            grow(holder, RECORD - tonumber(kept[2]))
        end
    end
    if not is_ledger(holder) then return end
    for _, id in ipairs(ids) do
        if bytes(holder) <= target then return end
        if call('HGET', record_key(holder, id), 'state') ~= 'IN_PROGRESS' then
            forget(holder, id)
        end
    end
end

local function fits(principal, size)
    local over = tonumber(call('GET', P .. 'bytes') or '0') + size - TOTAL_BYTES
    if over <= 0 then return true end
    local target = over + math.floor(TOTAL_BYTES / 8)
    local holders = call('ZRANGE', of_key(principal), 0, -1)
    for _, holder in ipairs(holders) do
        local before = bytes(holder)
        shrink(holder, math.max(0, before - target))
        target = target - (before - bytes(holder))
        if target <= 0 then break end
    end
    return tonumber(call('GET', P .. 'bytes')) + size <= TOTAL_BYTES
end

local function release(session, floor)
    if call('EXISTS', holder_key(session)) == 0 then return end
    if floor > tonumber(get(session, 'floor')) then
        call('HSET', holder_key(session), 'floor', text(floor))
    end
    for _, id in ipairs(call('ZRANGEBYSCORE', records_key(session), 1, text(floor))) do
        local kept = call('HMGET', record_key(session, id), 'state', 'owner')
        if kept[1] ~= 'IN_PROGRESS' and kept[1] ~= 'IN_DOUBT' and kept[2] ~= 'resolved' then
            drop(session, id)
        end
    end
end

local STEP = {}

function STEP.begin()
    -- lease, node, named
    call('ZADD', P .. 'owners', text(NOW + tonumber(A[1])), ME)
    if A[3] == '1' then
        for _, owner in ipairs(call('ZRANGE', P .. 'owners', 0, -1)) do
            if owner ~= ME and string.sub(owner, 1, #A[2] + 1) == A[2] .. '/' then
                settle(owner)
            end
        end
    end
    settle_gone()
    return 1
end

-- Nothing is done if others have taken this life for over.
function STEP.renew()
    -- lease
    if not call('ZSCORE', P .. 'owners', ME) then return 0 end
    call('ZADD', P .. 'owners', text(NOW + tonumber(A[1])), ME)
    return 1
end

-- It goes on: who is connected here uses a session all the same.
function STEP.revive()
    -- lease, sessions
    call('ZADD', P .. 'owners', text(NOW + tonumber(A[1])), ME)
    for i = 2, #A do
        if get(A[i], 'principal') then use(A[i], ME) end
    end
    return 1
end

function STEP.stop()
    settle(ME)
    return 1
end

function STEP.attach()
    -- principal, wanted, new id
    local principal, wanted, new = A[1], A[2], A[3]
    if wanted ~= '' and not is_ledger(wanted) and get(wanted, 'principal') == principal then
        use(wanted, ME)
        return {'1', wanted, get(wanted, 'floor')}
    end
    local own = {}
    for _, holder in ipairs(call('ZRANGE', of_key(principal), 0, -1)) do
        if not is_ledger(holder) then own[#own + 1] = holder end
    end
    local most, every = PER_PRINCIPAL, WITH_ROOM
    if principal == 'anonymous' then most, every = SESSIONS, SESSIONS end
    if #own >= most or call('ZCARD', P .. 'sessions') >= every then
        local idle, since = nil, math.huge
        for _, session in ipairs(own) do
            local at = call('ZSCORE', P .. 'idle', session)
            if at and tonumber(at) < since
                    and tonumber(get(session, 'running') or '0') == 0 then
                idle, since = session, tonumber(at)
            end
        end
        if not idle then return {'full', tostring(#own)} end
        end_session(idle)
    end
    if not fits(principal, SESSION) then return {'room'} end
    call('HSET', holder_key(new), 'principal', principal, 'floor', '0',
        'made', text(NOW), 'bytes', '0', 'running', '0')
    use(new, ME)
    call('ZADD', of_key(principal), text(NOW), new)
    call('ZADD', P .. 'sessions', text(NOW), new)
    call('INCRBY', P .. 'bytes', SESSION)
    return {'0', new, '0'}
end

function STEP.detach()
    leave(A[1], ME)
    return 1
end

STEP['end'] = function()
    end_session(A[1])
    return 1
end

function STEP.release()
    release(A[1], tonumber(A[2]))
    return 1
end

function STEP.claim()
    -- holder, id, seq, principal, delivery, method, params, stamp, floor, run
    local holder, id, seq, principal = A[1], A[2], tonumber(A[3]), A[4]
    local stamp, run = tonumber(A[8]), A[10] == '1'
    if tonumber(A[9]) > 0 then release(holder, tonumber(A[9])) end
    local floor
    if seq > 0 then
        if get(holder, 'principal') ~= principal then return {'0', 'dead'} end
    elseif call('EXISTS', holder_key(holder)) == 0 then
        local base = call('GET', P .. 'floor') or '0'
        call('HSET', holder_key(holder), 'principal', principal, 'floor', base,
            'made', text(NOW), 'bytes', '0', 'running', '0')
        call('ZADD', P .. 'ledgers', base, holder)
        call('ZADD', of_key(principal), text(NOW), holder)
    end
    floor = get(holder, 'floor')
    local open
    if seq > 0 then
        open = seq > tonumber(floor) and seq <= tonumber(floor) + WINDOW
    else
        open = stamp > tonumber(floor)
    end
    local key = record_key(holder, id)
    local kept = call('HMGET', key, 'state', 'fence', 'owner', 'method', 'params',
        'delivery', 'outcome')
    if not kept[1] then
        if not open or not run then return {'0', 'live', floor} end
        if not fits(principal, RECORD) then return {'0', 'room'} end
        call('HSET', key, 'state', 'IN_PROGRESS', 'fence', '1', 'owner', ME,
            'delivery', A[5], 'method', A[6], 'params', A[7], 'size', RECORD,
            'stamp', A[8], 'begun', text(NOW), 'ended', '0')
        local score = A[8]
        if seq > 0 then score = A[3] end
        call('ZADD', records_key(holder), score, id)
        call('SADD', running_key(ME), joined(holder, id))
        call('HINCRBY', holder_key(holder), 'running', 1)
        grow(holder, RECORD)
        return {'1', 'live', floor}
    end
    local owner = 'here'
    if kept[1] == 'IN_PROGRESS' and kept[3] ~= ME then
        owner = 'elsewhere'
        if gone(kept[3]) then owner = 'gone' end
    end
    local same = kept[4] == A[6] and kept[5] == A[7]
    local claimed = '0'
    -- A record without a session wins over the floor.
    if same and (open or seq == 0) then
        local again = kept[1] == 'RECLAIMABLE' or (kept[1] == 'IN_PROGRESS'
            and (owner == 'here' or (owner == 'gone' and kept[6] ~= 'once')))
        if again and run then
            if kept[1] == 'IN_PROGRESS' then stopped(holder, id, kept[3]) end
            call('HSET', key, 'state', 'IN_PROGRESS', 'owner', ME, 'begun', text(NOW))
            call('HINCRBY', key, 'fence', 1)
            call('SADD', running_key(ME), joined(holder, id))
            call('HINCRBY', holder_key(holder), 'running', 1)
            call('ZREM', P .. 'ended', joined(holder, id))
            claimed = '1'
        elseif kept[1] == 'IN_PROGRESS' and owner == 'gone' and kept[6] == 'once' then
            doubt(holder, id, kept[3])
        end
    end
    return {claimed, 'live', floor, kept[1], kept[2], owner, kept[4], kept[5], kept[6],
        kept[7] or ''}
end

function STEP.complete()
    -- holder, id, fence, outcome
    local holder, id = A[1], A[2]
    local key = record_key(holder, id)
    local kept = call('HMGET', key, 'state', 'fence', 'owner', 'outcome')
    if not kept[1] then return {'STALE', '0', ''} end
    local running = kept[1] == 'IN_PROGRESS'
    if kept[2] ~= A[3] or not (running or kept[1] == 'IN_DOUBT') then
        return {kept[1], kept[2], kept[4] or ''}
    end
    if running then stopped(holder, id, kept[3]) end
    call('ZREM', P .. 'doubt', joined(holder, id))
    local most = PRINCIPAL_BYTES
    if not is_ledger(holder) then most = SESSION_BYTES end
    local size = RECORD + #A[4]
    if size > math.floor(most * 3 / 4) then
        call('HSET', key, 'state', 'TOMBSTONE')
    else
        call('HSET', key, 'state', 'DONE', 'outcome', A[4], 'size', size)
        grow(holder, size - RECORD)
    end
    ended(holder, id)
    if bytes(holder) > most then shrink(holder, math.floor(most * 3 / 4)) end
    return {}
end

function STEP.unclaim()
    -- holder, id, fence
    local holder, id = A[1], A[2]
    local kept = call('HMGET', record_key(holder, id), 'state', 'fence', 'owner')
    if kept[1] ~= 'IN_PROGRESS' or kept[2] ~= A[3] then return 0 end
    if kept[2] == '1' then
        drop(holder, id)
    else
        -- What it is called with is kept: it may have been claimed before.
        stopped(holder, id, kept[3])
        call('HSET', record_key(holder, id), 'state', 'RECLAIMABLE')
        ended(holder, id)
    end
    return 1
end

function STEP.resolve()
    -- holder, id, fence, outcome
    local holder, id = A[1], A[2]
    local key = record_key(holder, id)
    local kept = call('HMGET', key, 'state', 'fence', 'size')
    if kept[1] ~= 'IN_DOUBT' or kept[2] ~= A[3] then return 0 end
    local size = RECORD + #A[4]
    call('HSET', key, 'state', 'DONE', 'outcome', A[4], 'size', size, 'owner', 'resolved',
        'ended', text(NOW))
    grow(holder, size - tonumber(kept[3]))
    call('ZADD', P .. 'doubt', text(NOW), joined(holder, id))
    return 1
end

function STEP.expire()
    settle_gone()
    local oldest = '(' .. text(NOW - RETENTION)
    for _, session in ipairs(call('ZRANGEBYSCORE', P .. 'idle', '-inf', oldest, 'LIMIT', 0, MOST)) do
        if tonumber(get(session, 'running') or '0') == 0 then end_session(session) end
    end
    for _, name in ipairs(call('ZRANGEBYSCORE', P .. 'ended', '-inf', oldest, 'LIMIT', 0, MOST)) do
        local holder, id = parted(name)
        if call('HGET', record_key(holder, id), 'state') ~= 'IN_PROGRESS' then
            forget(holder, id)
        end
    end
    for _, name in ipairs(call('ZRANGEBYSCORE', P .. 'doubt', '-inf', oldest, 'LIMIT', 0, MOST)) do
        local holder, id = parted(name)
        local floor = get(holder, 'floor')
        if not is_ledger(holder) and floor and tonumber(id) <= tonumber(floor) then
            drop(holder, id)
        end
    end
    -- Many floors become one, upwards.
    local count = call('ZCARD', P .. 'ledgers')
    if count > MAX_FLOORS then
        local left = math.min(MOST, count - math.floor(MAX_FLOORS / 2))
        local base = tonumber(call('GET', P .. 'floor') or '0')
        local idle = call('ZRANGEBYSCORE', P .. 'ledgers', '-inf', text(NOW), 'WITHSCORES',
            'LIMIT', 0, left * 2)
        for i = 1, #idle, 2 do
            local holder = idle[i]
            if left > 0 and call('ZCARD', records_key(holder)) == 0 then
                base = math.max(base, tonumber(get(holder, 'floor')))
                call('ZREM', of_key(get(holder, 'principal')), holder)
                call('ZREM', P .. 'ledgers', holder)
                call('DEL', holder_key(holder))
                left = left - 1
            end
        end
        call('SET', P .. 'floor', text(base))
    end
    return 1
end

local function row(holder, id)
    local kept = call('HMGET', record_key(holder, id), 'method', 'delivery', 'state', 'fence',
        'owner', 'begun', 'size', 'outcome')
    if not kept[1] then return nil end
    return {holder, id, get(holder, 'principal') or '', kept[1], kept[2], kept[3], kept[4],
        kept[5], text(NOW - tonumber(kept[6])), kept[7], kept[8] or ''}
end

function STEP.find()
    return row(A[1], A[2]) or {}
end

-- Every holder, and every record of each: for operators, who are few.
local function each(visit)
    for _, set in ipairs({'sessions', 'ledgers'}) do
        for _, holder in ipairs(call('ZRANGE', P .. set, 0, -1)) do
            for _, id in ipairs(call('ZRANGE', records_key(holder), 0, -1)) do
                visit(holder, id)
            end
        end
    end
end

function STEP.totals()
    local sessions = call('ZCARD', P .. 'sessions')
    local counts, flat = {}, {}
    each(function(holder, id)
        local state = call('HGET', record_key(holder, id), 'state')
        counts[state] = (counts[state] or 0) + 1
    end)
    for state, count in pairs(counts) do
        flat[#flat + 1] = state
        flat[#flat + 1] = tostring(count)
    end
    return {tostring(sessions), tostring(sessions - call('ZCARD', P .. 'idle')),
        tostring(call('ZCARD', P .. 'ledgers')), call('GET', P .. 'bytes') or '0', flat}
end

function STEP.sessions()
    -- limit
    local rows = {}
    local function add(session)
        if #rows >= tonumber(A[1]) then return end
        local kept = call('HMGET', holder_key(session), 'principal', 'floor', 'made', 'bytes')
        local users = table.concat(call('SMEMBERS', users_key(session)), ', ')
        local idle = call('ZSCORE', P .. 'idle', session)
        rows[#rows + 1] = {session, kept[1], kept[2], users, text(NOW - tonumber(kept[3])),
            text(idle and NOW - tonumber(idle) or 0),
            tostring(call('ZCARD', records_key(session))), kept[4]}
    end
    for _, session in ipairs(call('ZRANGE', P .. 'idle', 0, -1)) do add(session) end
    for _, session in ipairs(call('ZRANGE', P .. 'sessions', 0, -1)) do
        if not call('ZSCORE', P .. 'idle', session) then add(session) end
    end
    return rows
end

function STEP.records()
    -- state
    local rows = {}
    each(function(holder, id)
        if A[1] == '' or call('HGET', record_key(holder, id), 'state') == A[1] then
            rows[#rows + 1] = row(holder, id)
        end
    end)
    return rows
end

if ARGV[1] == 'begin' then
    local other = check_version()
    if other then return other end
end
if is_late() then return redis.error_reply('LATE it comes over a connection of before') end
check_life()
return STEP[ARGV[1]]()
