-- The lease of the key: its stored form (format.rs) and functions on it.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: lease: nil where there is none, armed where it has a generation; unpack_lease,
--          put_lease, drop_lease, blocked_until, token_of, of_this_epoch, held_by, next_generation,
--          named
-- Uses:    format.rs (GRACE, SETTLE_LONG, SETTLE); prelude.lua (packed_lease, partition, name, eid)

local function unpack_lease(packed)
  local l = {}
  l.nonce, l.expires, l.quiet_until, l.tainted, l.write_id, l.long, l.generation, l.pre, l.expect =
    cmsgpack.unpack(packed)
  return l
end

-- nil when there is none. Armed when it has a generation.
local lease = packed_lease and unpack_lease(packed_lease) or nil

local function put_lease()
  redis.call('HSET', partition, name, cmsgpack.pack(lease.nonce, lease.expires, lease.quiet_until,
    lease.tainted, lease.write_id, lease.long, lease.generation, lease.pre, lease.expect))
end

local function drop_lease()
  lease = nil
  redis.call('HDEL', partition, name)
end

local function blocked_until(l)
  if not l.generation then
    return l.expires
  end
  return math.max(l.expires + GRACE + (l.long and SETTLE_LONG or SETTLE), l.quiet_until)
end

local function token_of(nonce)
  return eid .. '.' .. nonce
end

local function of_this_epoch(token)
  return string.sub(token, 1, #eid + 1) == eid .. '.'
end

local function held_by(token)
  return lease and lease.nonce and token == token_of(lease.nonce)
end

local function next_generation()
  return redis.call('HINCRBY', partition, 'n', 1)
end

-- A generation in the form of the answers; nil stays nil.
local function named(generation)
  return generation and token_of(generation)
end
