-- The record: its form (format.rs), its journal and its doubt.

local record = {state = '?', journal = ''}
do
  local packed = redis.call('GET', KEYS[2])
  -- A record of another epoch is as good as none.
  if packed and string.sub(packed, 1, #eid) == eid then
    record.state, record.generation, record.last_nonce, record.doubt, record.journal =
      cmsgpack.unpack(string.sub(packed, #eid + 1))
  end
end
-- What arm does to the state is not written down: the armed lease says it.
if lease and lease.nonce and lease.generation then
  record.state = '?'
end

local function put_record()
  local packed = cmsgpack.pack(record.state, record.generation or false,
    record.last_nonce or false, record.doubt or false, record.journal)
  redis.call('SET', KEYS[2], eid .. packed, 'PX', RECORD_TTL)
end

-- Calls see(write_id, ending, at) for the journal's lines, oldest first.
local function each_line(see)
  if record.journal == '' then
    return
  end
  local lines = {cmsgpack.unpack(record.journal)}
  for i = 1, #lines, 3 do
    see(lines[i], lines[i + 1], lines[i + 2])
  end
end

local function write_down(write_id, ending)
  local kept = {}
  each_line(function(id, its_ending, at)
    if id ~= write_id and at >= now - HORIZON then
      local n = #kept
      kept[n + 1], kept[n + 2], kept[n + 3] = id, its_ending, at
    end
  end)
  local n = #kept
  kept[n + 1], kept[n + 2], kept[n + 3] = write_id, ending, now
  local first = math.max(n + 3 - 3 * JOURNAL_ENTRIES_MAX, 0) + 1
  record.journal = cmsgpack.pack(unpack(kept, first))
end

local function landed(state, generation)
  return 'L' .. generation .. ':' .. state
end

local function ending_of(write_id)
  -- Most writes are new, and then the lines need not be taken apart.
  if not string.find(record.journal, write_id, 1, true) then
    return nil
  end
  local found
  each_line(function(id, ending, at)
    if id == write_id and at >= now - HORIZON then
      found = ending
    end
  end)
  return found
end

-- Ends a doubt that nobody can settle: the write may have landed, so its generation counts.
local function bury_doubt()
  local doubt = record.doubt
  if not doubt then
    return false
  end
  record.doubt = nil
  write_down(doubt[1], 'U')
  record.generation = doubt[4]
  return true
end
