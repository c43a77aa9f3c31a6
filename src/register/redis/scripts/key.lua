-- What is stored of a key (format.rs): its lease and its record, in one string.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: read_key, put_key; lease: nil where there is none, armed where it has a generation;
--          record; new_lease, drop_lease, blocked_until, held_by
-- Uses:    format.rs (GRACE, LEASED_TTL, LEASED_TTL_UPLOADS, RECORD_TTL, RECORD_TTL_UPLOADS, SETTLE,
--          SETTLE_LONG); prelude.lua (call, epoch, key, now, packed, token_of)

-- Both tables live as long as the library, so that a call makes none.
local lease
local record, only_lease = {}, {}
local NOTHING = {}

local function read_key()
  local r, l = record, only_lease
  r.from, r.written = 1, ''
  -- What another epoch left is ignored, and not unpacked: it may be of another format.
  if not packed or string.sub(packed, 1, #epoch.packed_id) ~= epoch.packed_id then
    r.state, r.generation, r.last_nonce, r.lines, r.journal = '?', nil, nil, 0, ''
    r.landed_at, r.doubt, r.forgotten, r.uploads, r.landing = nil, nil, nil, NOTHING, nil
    lease = nil
    return
  end
  local _, uploads
  _, r.state, r.generation, r.last_nonce, r.lines, r.journal, r.landed_at,
    l.nonce, l.write_id, l.expires, l.generation, l.pre, l.expect, l.long, l.tainted, l.quiet_until,
    r.doubt, r.forgotten, uploads, r.landing = cmsgpack.unpack(packed)
  r.uploads = uploads or NOTHING
  lease = l.write_id and l or nil
end

local function new_lease(nonce, write_id, long)
  lease = only_lease
  lease.nonce, lease.write_id, lease.expires = nonce, write_id, 0
  lease.generation, lease.pre, lease.expect = nil, nil, nil
  lease.long, lease.tainted, lease.quiet_until = long or nil, nil, nil
end

local function drop_lease()
  lease = nil
end

local function blocked_until()
  if not lease.generation then
    return lease.expires
  end
  local landed_by = lease.expires + GRACE + (lease.long and SETTLE_LONG or SETTLE)
  return math.max(landed_by, lease.quiet_until or 0)
end

local function held_by(token)
  return lease and lease.nonce and token == token_of(lease.nonce)
end

-- Keeps the key for ttl, or for as long as its content needs: a record for RECORD_TTL after the end
-- of the lease. So no lease and no doubt is kept for ever, and none goes too early.
local function put_key(ttl)
  local r, l, journal = record, lease, record.journal
  if r.from > 1 then
    journal = string.sub(journal, r.from)
  end
  if r.written ~= '' then
    journal = journal .. r.written
  end
  local uploads = r.uploads[1] and r.uploads or nil
  local packed_key
  -- Values at the end that are nil are left out.
  if r.doubt or r.forgotten or uploads or r.landing then
    l = l or NOTHING
    packed_key = cmsgpack.pack(epoch.id, r.state, r.generation, r.last_nonce, r.lines, journal,
      r.landed_at, l.nonce, l.write_id, l.expires, l.generation, l.pre, l.expect, l.long, l.tainted,
      l.quiet_until, r.doubt, r.forgotten, uploads, r.landing)
  elseif l then
    packed_key = cmsgpack.pack(epoch.id, r.state, r.generation, r.last_nonce, r.lines, journal,
      r.landed_at, l.nonce, l.write_id, l.expires, l.generation, l.pre, l.expect, l.long, l.tainted,
      l.quiet_until)
  else
    packed_key = cmsgpack.pack(epoch.id, r.state, r.generation, r.last_nonce, r.lines, journal,
      r.landed_at)
  end
  local ends = nil
  if lease then
    ends = blocked_until()
    ttl = uploads and LEASED_TTL_UPLOADS or LEASED_TTL
    if lease.quiet_until then
      ttl = ttl + math.max(ends - now, 0)
    end
  end
  call('SET', key, packed_key, 'PX', ttl or uploads and RECORD_TTL_UPLOADS or RECORD_TTL)
  epoch.leases[key] = ends
end
