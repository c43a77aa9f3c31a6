-- The record of the key: its journal and its doubt.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: ending_of, write_down, upload_named, pending, remembered_since, landed, undetermined,
--          told, may_have_landed, record_landing, last_landing, is_undecided, bury_doubt
-- Uses:    format.rs (HORIZON, JOURNAL_ENTRIES_MAX); prelude.lua (epoch, now); key.lua
--          (blocked_until, lease, record)

-- The journal is the text in record.journal from record.from on, plus the line just written. (Long
-- strings are the main cost of a step on a busy key, so no string is built that is not kept.)

-- A line of the journal begins with its length, without these 4 bytes, its time and the length of
-- its write id. Packed by hand, since a write only adds one and drops the oldest.
local LINE = '>I4dI4'

-- The line at pos: write id, ending, time, and the next line's place.
local function line_at(pos)
  local length, at, id_length, id_at = struct.unpack(LINE, record.journal, pos)
  local next_pos = pos + 4 + length
  local ending_at = id_at + id_length
  return string.sub(record.journal, id_at, ending_at - 1),
    string.sub(record.journal, ending_at, next_pos - 1), at, next_pos
end

-- The line of a write: its place, the next line's, its ending and its time; nil if there is none.
local function find_line(write_id)
  if record.lines == 0 then
    return nil
  end
  if record.written ~= '' then
    record.journal, record.written = record.journal .. record.written, ''
  end
  -- Most writes are new: then the lines need not be parsed.
  if not string.find(record.journal, write_id, record.from, true) then
    return nil
  end
  local pos = record.from
  while pos <= #record.journal do
    local id, ending, at, next_pos = line_at(pos)
    if id == write_id then
      return pos, next_pos, ending, at
    end
    pos = next_pos
  end
  return nil
end

local function ending_of(write_id)
  local _, _, ending, at = find_line(write_id)
  if ending and at >= now - HORIZON then
    return ending, at
  end
  return nil
end

local function write_down(write_id, ending)
  local pos, next_pos = find_line(write_id)
  if pos then
    record.journal = string.sub(record.journal, 1, pos - 1) .. string.sub(record.journal, next_pos)
    record.lines = record.lines - 1
  end
  -- Times do not decrease from line to line, so the lines that are too old come first.
  while record.lines > 0 do
    local length, at = struct.unpack(LINE, record.journal, record.from)
    if at >= now - HORIZON then
      if record.lines < JOURNAL_ENTRIES_MAX then
        break
      end
      record.forgotten = math.max(record.forgotten or 0, at)
    end
    record.from = record.from + 4 + length
    record.lines = record.lines - 1
  end
  record.written = struct.pack(LINE, 12 + #write_id + #ending, now, #write_id)
    .. write_id .. ending
  record.lines = record.lines + 1
end

-- The upload of this name: its name, generation, pending generation and time.
local function upload_named(upload_name)
  for _, upload in ipairs(record.uploads) do
    if upload[1] == upload_name then
      return upload
    end
  end
  return nil
end

-- The generation of a write that is under way or in doubt.
local function pending()
  return lease and lease.generation or record.doubt and record.doubt[4] or false
end

-- Before this moment, the ending of an attempt may have been forgotten.
local function remembered_since()
  return math.max(epoch.since, record.forgotten or 0)
end

-- The other headers of the answer come before the state, after their length.
local function landed(state, generation, said)
  return 'L' .. generation .. ':' .. #said .. ':' .. said .. state
end

local function undetermined(generation)
  return 'U' .. generation .. ':'
end

-- An ending, decoded as answers name it: L with its generation, the state it left and the other
-- headers of the answer; U with its generation; R with its code.
local function told(ending)
  local kind = string.sub(ending, 1, 1)
  if kind == 'R' then
    return kind, false, string.sub(ending, 2), ''
  end
  local generation, rest = string.match(ending, '^.(%d+):(.*)$')
  if kind ~= 'L' then
    return kind, tonumber(generation), rest, ''
  end
  local length, text = string.match(rest, '^(%d+):(.*)$')
  return kind, tonumber(generation), string.sub(text, length + 1), string.sub(text, 1, length)
end

-- Notes that a write may have landed at this time at the latest.
local function may_have_landed(at)
  record.landed_at = math.max(record.landed_at or 0, at)
end

-- When the last write had landed, or could land no more, that in doubt included; 0 if none of this
-- epoch is remembered.
local function record_landing()
  local doubt = record.doubt
  return math.max(record.landed_at or 0, doubt and doubt[5] or 0)
end

-- The same, and that under the lease included: from when on it can land no more.
local function last_landing()
  local landing = record_landing()
  return lease and lease.generation and math.max(landing, blocked_until()) or landing
end

-- Will the next holder of the lease find neither a known state nor a doubt?
local function is_undecided()
  if lease and lease.generation then
    return not lease.nonce
  end
  return record.state == '?' and not record.doubt
end

-- Ends a doubt that cannot be settled: the write may have landed, so its generation counts.
local function bury_doubt()
  local doubt = record.doubt
  if not doubt then
    return
  end
  record.doubt = nil
  write_down(doubt[1], undetermined(doubt[4]))
  record.generation = doubt[4]
  may_have_landed(doubt[5])
end
