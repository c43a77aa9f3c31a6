-- What every step does first (docs/protocol.md#every-step-of-the-register): find the partition's
-- epoch, and begin a new one where the memory was interrupted; refuse to run on a replica, and for
-- a caller with other terms.
--
-- What the library remembers between calls vouches for the epoch: Redis empties it whenever it takes
-- over other data, and a promotion is seen (docs/protocol.md#epochs).
--
-- KEYS:    [1] the partition, [2] the key; without [2] the step is about no key
-- ARGV:    [1] name of a new epoch, should one begin
-- Returns: {now, 'replica'}
--          {now, 'terms', the partition's terms}
--          nil: the step goes on
-- Defines: begin, begin_each, memory; call, now, partition, key: of this call; packed: the string of the key, or false;
--          epoch: the partition's, with its id, since, quarantine_until, shelf, and, as far as this
--          library knows, leases: until when each blocks, and waiters, both by key;
--          server_replid, put_epoch, next_generation, token_of, of_this_epoch, named
-- Uses:    format.rs (CLUSTER, FORMER_FORMAT, GENERATIONS, LEASE, QUARANTINE, SERVER_SEEN, TERMS); clock.lua
--          (clock)

local call, now, partition, key, packed, epoch

-- The epoch of each partition, as this library left it.
local memory = {}
-- When the server was last seen to be a master, and its replication id then. A reign is a time in
-- which it was one without a break.
local server_seen, server_replid, reign = 0, nil, 0

-- The 40 hex digits after this name. (A plain find: a pattern search would cost much more.)
local function id_after(name, info)
  local _, before = string.find(info, name, 1, true)
  return string.sub(info, before + 1, before + 40)
end

-- Looks whether this server is a master, and whether it has been one all the time. Its id changes
-- when it is promoted, which leaves the old id as its second one; and when its first replica comes
-- or its backlog ends, which leaves none. A later look may miss a promotion, so it does not count.
local function is_master()
  local info = call('INFO', 'replication')
  if not string.find(info, 'role:master', 1, true) then
    server_replid = nil
    return false
  end
  local replid = id_after('master_replid:', info)
  if replid ~= server_replid then
    local renamed = server_replid and now >= server_seen and now <= server_seen + LEASE
      and not string.find(id_after('master_replid2:', info), '[^0]')
    reign = renamed and reign or reign + 1
  end
  server_seen, server_replid = now, replid
  return true
end

-- Stores what is known of the partition (format.rs). What the library remembers changes after
-- that, so that it is never more than what Redis keeps.
local function put_epoch(of, quarantine_until, reserved, replid)
  local line = table.concat({of.id, of.since, quarantine_until, reserved, replid, TERMS}, ' ')
  call('SET', partition, line)
  of.stored, of.quarantine_until, of.reserved, of.replid = line, quarantine_until, reserved, replid
end

-- An epoch of which this library knows nothing more yet. What is noted on a shelf has its tag. What is stored of a key begins with its
-- packed_id (key.lua). The shelf is where the partition's young keys are noted: one for all, but in a
-- cluster a function may touch keys of one slot only.
local function new_epoch(id, since)
  local shelf = CLUSTER and partition or string.gsub(partition, ':%d+}$', ':young}')
  return {id = id, packed_id = cmsgpack.pack(id), since = since, leases = {}, waiters = {},
    n = 0, last = 0, shelf = shelf, tag = string.sub(id, -10)}
end

-- Goes on with an epoch that another library began, or changed.
local function adopt(stored, id, since, quarantine_until, reserved, replid)
  if not epoch or epoch.id ~= id then
    epoch = new_epoch(id, tonumber(since))
    memory[partition] = epoch
  end
  epoch.stored, epoch.quarantine_until = stored, tonumber(quarantine_until)
  epoch.reserved, epoch.replid, epoch.reign = tonumber(reserved), replid, reign
end

local function begin_epoch(id)
  local new = new_epoch(id, now)
  new.reign = reign
  put_epoch(new, now + QUARANTINE, 0, server_replid)
  memory[partition], epoch = new, new
end

local function is_vouched(stored)
  return epoch and stored == epoch.stored and epoch.reign == reign
end

-- The check of an epoch, after the look at the server.
local function check_epoch(stored, new_id)
  if is_vouched(stored) then
    return nil
  end
  if not stored and call('TYPE', partition).ok ~= 'none' then
    return {now, 'terms', FORMER_FORMAT}
  end
  local id, since, quarantine_until, reserved, replid, terms =
    string.match(stored or '', '^(%S+) (%d+) (%d+) (%d+) (%x+) (.*)$')
  if replid ~= server_replid then
    -- The epoch's memory is lost or another server's: all leases are void.
    begin_epoch(new_id)
  elseif terms ~= TERMS then
    return {now, 'terms', terms}
  else
    adopt(stored, id, since, quarantine_until, reserved, replid)
  end
  return nil
end

-- The full check: of the server, and of the epoch.
local function check(stored, new_id)
  if not is_master() then
    return {now, 'replica'}
  end
  return check_epoch(stored, new_id)
end

local function was_seen_lately()
  return now >= server_seen and now < server_seen + SERVER_SEEN
end

local function begin(KEYS, ARGV)
  call, now = redis.call, clock()
  partition, key = KEYS[1], KEYS[2]
  epoch = memory[partition]
  -- (MGET calls what is no string nil.)
  local found = key and call('MGET', partition, key) or call('MGET', partition)
  local stored = found[1]
  packed = found[2]
  -- Steps about one partition and no key are rare, and look at the server always.
  if not key or not is_vouched(stored) or not was_seen_lately() then
    return check(stored, ARGV[1])
  end
  return nil
end

-- What is stored at these keys. A cluster lets one command read keys of one slot only.
local function stored_at(keys)
  if not CLUSTER then
    return call('MGET', unpack(keys))
  end
  local stored = {}
  for i, of in ipairs(keys) do
    stored[i] = call('MGET', of)[1]
  end
  return stored
end

-- The same for a step about several partitions. Returns what refuses it, or else the ms until the last
-- of their quarantines is over.
local function begin_each(partitions, new_id)
  call, now = redis.call, clock()
  local stored, quarantine = stored_at(partitions), 0
  local vouched, quarantine_until = was_seen_lately(), 0
  for i, of in ipairs(partitions) do
    epoch = memory[of]
    if not is_vouched(stored[i]) then
      vouched = false
      break
    end
    if epoch.quarantine_until > quarantine_until then
      quarantine_until = epoch.quarantine_until
    end
  end
  -- So it is nearly always, and the partitions are many.
  if vouched then
    return nil, math.max(quarantine_until - now, 0)
  end
  if not is_master() then
    return {now, 'replica'}
  end
  for i, of in ipairs(partitions) do
    partition, epoch = of, memory[of]
    if not is_vouched(stored[i]) then
      -- Each new epoch has a name of its own.
      local refused = check_epoch(stored[i], new_id .. 'p' .. i)
      if refused then
        return refused
      end
    end
    quarantine = math.max(quarantine, epoch.quarantine_until - now)
  end
  return nil, quarantine
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

-- A generation in the form of the arguments: answers name the epoch once, and numbers besides.
local function named(generation)
  return generation and token_of(generation)
end
