-- What every step does first (docs/protocol.md#every-step-of-the-register): find the partition's
-- epoch, and begin a new one where the memory was interrupted; refuse to run on a replica, and for
-- a caller with other terms.
--
-- What the library remembers between calls proves that nothing was lost in between: Redis empties
-- it whenever its data may be others (the protocol says when, and why that is enough).
--
-- KEYS:    [1] the partition, [2] the key; without [2] the step is about no key
-- ARGV:    [1] name of a new epoch, should one begin
-- Returns: {now, 'replica'}
--          {now, 'terms', the partition's terms}
--          nil: the step goes on
-- Defines: begin; call, now, partition, key: of this call; packed: the string of the key, or false;
--          epoch: the partition's, with its id, since, quarantine_until, and, as far as this
--          library knows, leases: until when each blocks, and waiters, both by key;
--          replid_of_master, put_epoch, next_generation, token_of, of_this_epoch, named
-- Uses:    format.rs (FORMER_FORMAT, GENERATIONS, QUARANTINE, SERVER_SEEN, TERMS); clock.lua (clock)

local call, now, partition, key, packed, epoch

-- The epoch of each partition, as this library left it.
local memory = {}
-- When the server was last asked what it is.
local server_seen = 0

-- The replication id of this server, 40 hex digits; nil on a replica. (Plain finds: a pattern search
-- would cost much more.)
local function replid_of_master()
  local info = call('INFO', 'replication')
  if not string.find(info, 'role:master', 1, true) then
    return nil
  end
  server_seen = now
  local _, before = string.find(info, 'master_replid:', 1, true)
  return string.sub(info, before + 1, before + 40)
end

-- Stores what is known of the partition (format.rs). What the library remembers changes after
-- that, so that it is never more than what Redis keeps.
local function put_epoch(of, quarantine_until, reserved, replid)
  local line = table.concat({of.id, of.since, quarantine_until, reserved, replid, TERMS}, ' ')
  call('SET', partition, line)
  of.stored, of.quarantine_until, of.reserved, of.replid = line, quarantine_until, reserved, replid
end

-- Goes on with an epoch that another library began, or changed.
local function adopt(stored, id, since, quarantine_until, reserved, replid)
  if not epoch or epoch.id ~= id then
    epoch = {id = id, since = tonumber(since), leases = {}, waiters = {}, n = 0, last = 0}
    memory[partition] = epoch
  end
  epoch.stored, epoch.quarantine_until = stored, tonumber(quarantine_until)
  epoch.reserved, epoch.replid = tonumber(reserved), replid
end

local function begin_epoch(id, replid)
  local new = {id = id, since = now, leases = {}, waiters = {}, n = 0, last = 0}
  put_epoch(new, now + QUARANTINE, 0, replid)
  memory[partition], epoch = new, new
end

-- The full check: of the server, and of an epoch that the library does not remember.
local function check(stored, new_id)
  local replid = replid_of_master()
  if not replid then
    return {now, 'replica'}
  end
  if epoch and stored == epoch.stored then
    return nil
  end
  if not stored and call('TYPE', partition).ok ~= 'none' then
    return {now, 'terms', FORMER_FORMAT}
  end
  local id, since, quarantine_until, reserved, of, terms =
    string.match(stored or '', '^(%S+) (%d+) (%d+) (%d+) (%x+) (.*)$')
  if of ~= replid then
    -- The epoch's memory is lost or another server's: all leases are void.
    begin_epoch(new_id, replid)
  elseif terms ~= TERMS then
    return {now, 'terms', terms}
  else
    adopt(stored, id, since, quarantine_until, reserved, of)
  end
  return nil
end

local function begin(KEYS, ARGV)
  call, now = redis.call, clock()
  partition, key = KEYS[1], KEYS[2]
  epoch = memory[partition]
  local stored
  if key then
    local found = call('MGET', partition, key)
    stored, packed = found[1], found[2]
  else
    stored = call('GET', partition)
  end
  if not epoch or stored ~= epoch.stored or now < server_seen or now >= server_seen + SERVER_SEEN then
    return check(stored, ARGV[1])
  end
  return nil
end

-- Numbers of generations are reserved in blocks, each for one library, so that most need no write.
local function next_generation()
  if epoch.n == epoch.last then
    local before = epoch.reserved
    put_epoch(epoch, epoch.quarantine_until, before + GENERATIONS, epoch.replid)
    epoch.n, epoch.last = before, before + GENERATIONS
  end
  epoch.n = epoch.n + 1
  return epoch.n
end

local function token_of(nonce)
  return epoch.id .. '.' .. nonce
end

local function of_this_epoch(token)
  return string.sub(token, 1, #epoch.id + 1) == epoch.id .. '.'
end

-- A generation in the form of the answers; false or nil stays so.
local function named(generation)
  return generation and token_of(generation)
end
