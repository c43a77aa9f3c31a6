-- The step acquire: asks for the lease of the key, and arms it where nothing has to be looked up.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] the process that asks;
--          then [3] nonce; [4] write id; [5] 'plain' or 'long'; [6] age of the request in ms;
--          then [7] condition; [8] expectation; [9] upload, or ''; [10] generation of the write's
--          own doubt, or ''
-- Returns: {now, 'quarantine', ms left}
--          {now, 'ended', kind, generation or false, state or code, what the answer said}
--          {now, 'busy', write id or false, ms until the key is free}
--          {now, 'granted', token, state, generation or false, the doubt's write id or false, its
--            generation or false, generation if armed or false, ms that are remembered, 1 if
--            superseded, 1 if the upload is known; then its generation, its pending generation, its
--            time}
-- Uses:    format.rs (LEASE, EXCLUSIVE); clock.lua (now); prelude.lua (quarantine_until); lease.lua
--          (named, token_of, lease, blocked_until, put_lease); record.lua (upload_named, record,
--          ending_of, told, remembered_since); arming.lua (is_remembered, arm_lease);
--          taking_over.lua (take_over); waiters.lua (kept_for_another, wait_for_key, wait_no_more)

local nonce, write_id, long = ARGV[3], ARGV[4], ARGV[5] == 'long'
local age, condition, expect = tonumber(ARGV[6]), ARGV[7], ARGV[8]
local upload, own_doubt = upload_named(ARGV[9]), ARGV[10]

local function satisfied()
  if condition == 'object' then
    return string.sub(record.state, 1, 1) == 'P'
  elseif string.sub(condition, 1, 1) == 'G' then
    return record.state ~= '?' and named(record.generation) == string.sub(condition, 2)
  end
  return condition == record.state
end

-- For a complete with a condition: is the key as it was when the upload was created?
local function untouched()
  if ARGV[9] == '' then
    return true
  end
  local generation = record.generation or false
  return upload and (upload[2] == generation or generation and upload[3] == generation)
end

-- Is this journal line about a newer attempt of this write, with an unknown outcome?
local function supersedes(kind, generation, at)
  return kind == 'U' and generation ~= own_doubt and at + age > now
end

local function superseded()
  local ending, at = ending_of(write_id)
  if not ending then
    return false
  end
  local kind, generation = told(ending)
  return supersedes(kind, generation, at)
end

local function granted()
  local doubt = record.doubt or {}
  return {now, 'granted', token_of(nonce), lease.generation and lease.pre or record.state,
    named(record.generation) or false, doubt[1] or false, named(doubt[4]) or false,
    named(lease.generation) or false, now - remembered_since(), superseded() and 1 or 0,
    upload and 1 or 0,
    upload and named(upload[2]), upload and named(upload[3]), upload and upload[4]}
end

if now < quarantine_until then
  return {now, 'quarantine', quarantine_until - now}
end
if lease and lease.nonce == nonce then
  return granted()
end
local ending, written_at = ending_of(write_id)
if ending then
  local kind, generation, state, said = told(ending)
  if kind ~= 'U' or condition ~= 'none' or supersedes(kind, generation, written_at) then
    return {now, 'ended', kind, generation, state, said}
  end
end
local free_at = lease and blocked_until(lease) or 0
if now >= free_at then
  free_at = kept_for_another() or 0
end
if now < free_at then
  wait_for_key()
  local doubt = record.doubt or {}
  return {now, 'busy', lease and lease.write_id or doubt[1] or false, free_at - now}
end
wait_no_more()
take_over()
lease = {nonce = nonce, expires = now + LEASE, quiet_until = 0, tainted = false,
  write_id = write_id, long = long, generation = false, pre = false, expect = false}
local nothing_to_ask = condition == 'none'
  or (EXCLUSIVE and not record.doubt and satisfied() and untouched())
if nothing_to_ask and is_remembered(age) then
  arm_lease(record.state, expect)
else
  put_lease()
end
return granted()
