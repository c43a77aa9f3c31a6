-- What is stored of a key (format.rs): its lease and its record, in one string.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: read_key, put_key, young_set, left_out, young_entry; lease: nil where there is none, armed where it has a generation;
--          record; new_lease, drop_lease, blocked_until, held_by
-- Uses:    format.rs (GRACE, LAG, LEASED_TTL, LEASED_TTL_UPLOADS, OLDER_MAX, RECORD_TTL,
--          RECORD_TTL_UPLOADS, SETTLE, SETTLE_LONG, YOUNG_MAX, YOUNG_TTL); prelude.lua (call, epoch, key, now, packed, partition,
--          token_of)

-- Both tables live as long as the library, so that a call makes none.
local lease
local record, only_lease = {}, {}
local NOTHING = {}

-- The last of the writes of an entry where there were more.
local CUT = '*'

local function read_key()
  local r, l = record, only_lease
  r.from, r.written, r.said = 1, '', '- - ?'
  -- What another epoch left is ignored, and not unpacked: it may be of another format.
  if not packed or string.sub(packed, 1, #epoch.packed_id) ~= epoch.packed_id then
    r.state, r.generation, r.last_nonce, r.lines, r.journal = '?', nil, nil, 0, ''
    r.landed_at, r.doubt, r.forgotten, r.uploads, r.landing = nil, nil, nil, NOTHING, nil
    r.generation_before, r.landed_before = nil, nil
    lease = nil
    return
  end
  local _, uploads
  _, r.state, r.generation, r.last_nonce, r.lines, r.journal, r.landed_at,
    l.nonce, l.write_id, l.expires, l.generation, l.pre, l.expect, l.long, l.tainted, l.quiet_until,
    r.doubt, r.forgotten, uploads, r.landing = cmsgpack.unpack(packed)
  r.uploads = uploads or NOTHING
  r.generation_before, r.landed_before = r.generation, r.landed_at
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

-- The set of the keys of a shelf that were written in this stretch of time, which is as long as the
-- lag.
local function young_set(shelf, stretch)
  return shelf .. '~' .. stretch
end

-- There while an entry that was left out would count.
local function left_out(shelf)
  return shelf .. '~'
end

-- The writes that an entry has, after the key's name, as far as they count beside another write; each with NUL
-- before it.
local function writes_of(entry, name, said)
  -- Where no version has an id, the last write says it all.
  local rest = #name + 2
  if string.find(said, ' -', -2, true) and string.find(entry, '^%d+ %S+ %S+ %S+ %- ', rest)
    and not string.find(entry, '\0', rest, true) then
    return ''
  end
  local writes, count = '', 0
  for write in string.gmatch(string.sub(entry, rest), '[^%z]+') do
    local landed_at, tag = string.match(write, '^(%d+) (%S+) ')
    local is_young = landed_at and tonumber(landed_at) + LAG > now and tag == epoch.tag
    if is_young and count < OLDER_MAX then
      writes, count = writes .. '\0' .. write, count + 1
    elseif is_young or write == CUT and count > 0 then
      return writes .. '\0' .. CUT
    end
  end
  return writes
end

-- What is remembered of the key's writes before this one.
local function writes_before(set, set_before, name, said)
  local first, last = '[' .. name .. '\0', '(' .. name .. '\1'
  local entries = call('ZRANGEBYLEX', set, first, last)
  if entries[1] then
    call('ZREMRANGEBYLEX', set, first, last)
  else
    entries = call('ZRANGEBYLEX', set_before, first, last)
  end
  -- All others are of other epochs.
  for _, entry in ipairs(entries) do
    local _, _, tag = string.find(entry, '^%d+ (%S+) ', #name + 2)
    if tag == epoch.tag then
      return writes_of(entry, name, said)
    end
  end
  return ''
end

-- Notes what a write has left at the key, or may have left: for listings, while the store may show what
-- stood there before.
local function note_young(landed_before)
  local stretch, name = math.floor(now / LAG), string.sub(key, #partition + 1)
  local set = young_set(epoch.shelf, stretch)
  local before = ''
  -- What was old then has no entry. A record that is not there may have been deleted while it was young.
  if not landed_before or landed_before > (stretch - 1) * LAG then
    before = writes_before(set, young_set(epoch.shelf, stretch - 1), name, record.said)
  end
  local count = call('ZCARD', set)
  if count >= YOUNG_MAX then
    call('SET', left_out(epoch.shelf), '', 'PX', YOUNG_TTL)
    return
  end
  -- The first copy of a write that was sent twice may still land.
  local state = lease and not lease.nonce and '?' or record.state
  call('ZADD', set, 0,
    name .. '\0' .. record.landed_at .. ' ' .. epoch.tag .. ' ' .. record.said .. ' ' .. state .. before)
  if count == 0 then
    -- What is over goes now, beside other work, or else by its time to live.
    call('UNLINK', young_set(epoch.shelf, stretch - 2))
    call('PEXPIRE', set, YOUNG_TTL)
  end
end

-- The entry of the key's last landing, while that is young; false where there is none.
local function young_entry()
  if LAG == 0 or (record.landed_at or 0) + LAG <= now then
    return false
  end
  local name = string.sub(key, #partition + 1)
  local stretch = math.floor(now / LAG)
  for written = stretch, stretch - 1, -1 do
    local set = young_set(epoch.shelf, written)
    for _, entry in ipairs(call('ZRANGEBYLEX', set, '[' .. name .. '\0', '(' .. name .. '\1')) do
      local _, _, landed_at, tag = string.find(entry, '^(%d+) (%S+) ', #name + 2)
      -- One that was left out has left an older one behind, perhaps.
      if tag == epoch.tag and tonumber(landed_at) == record.landed_at then
        return entry
      end
    end
  end
  return false
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
  -- Where a landing was recorded, its time or the generation is another than before.
  if LAG > 0 and r.landed_at and r.landed_at + LAG > now
    and (r.landed_at ~= r.landed_before or r.generation ~= r.generation_before) then
    note_young(r.landed_before)
  end
end
