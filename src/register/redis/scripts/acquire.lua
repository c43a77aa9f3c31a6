-- The step acquire: asks for the lease of the key, and arms it where nothing has to be looked up.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] the process that asks;
--          then [3] nonce; [4] write id; [5] 'plain' or 'long'; [6] age of the request in ms;
--          then [7] condition; [8] expectation; [9] upload, or ''; [10] generation of the write's
--          own doubt, or ''
-- Returns: {now, 'quarantine', ms left}
--          {now, 'ended', epoch, kind, generation or false, state or code, what the answer said}
--          {now, 'busy', write id or false, ms until the key is free}
--          {now, 'young', ms for which no condition can be judged}
--          {now, 'granted', epoch, state, generation or false, the doubt's write id or false, its
--            generation or false, ms for which the state before it is young, generation if armed or
--            false, ms that are remembered, 1 if superseded, ms since the last landing or false, ms
--            for which the key is young, 1 if the upload is known; then its generation, its pending
--            generation, its time}
-- Defines: acquire
-- Uses:    format.rs (EXCLUSIVE, LAG, LEASE, SPACING); prelude.lua (epoch, named, now); key.lua
--          (blocked_until, lease, new_lease, put_key, record); record.lua (bury_doubt, ending_of,
--          is_undecided, last_landing, may_have_landed, record_landing, remembered_since, told,
--          upload_named);
--          arming.lua (arm_lease, is_remembered); waiters.lua (kept_for_another, wait_for_key,
--          wait_no_more)

local function satisfied(condition)
  if condition == record.state then
    return true
  elseif condition == 'object' then
    return string.sub(record.state, 1, 1) == 'P'
  elseif string.sub(condition, 1, 1) == 'G' then
    return record.state ~= '?' and named(record.generation) == string.sub(condition, 2)
  end
  return false
end

-- For a complete with a condition: is the key as it was when the upload was created?
local function untouched(upload)
  local generation = record.generation or false
  return upload and (upload[2] == generation or generation and upload[3] == generation)
end

-- Is this journal line about a newer attempt of this write, with an unknown outcome?
local function supersedes(kind, generation, at, ARGV)
  return kind == 'U' and named(generation) ~= ARGV[10] and at + ARGV[6] > now
end

local function superseded(ARGV)
  local ending, at = ending_of(ARGV[4])
  if not ending then
    return false
  end
  local kind, generation = told(ending)
  return supersedes(kind, generation, at, ARGV)
end

-- `is_new`: the journal has no line of this write.
local function granted(ARGV, upload, is_new)
  local doubt, landing = record.doubt, record_landing()
  local answer = {now, 'granted', epoch.id, lease.generation and lease.pre or record.state,
    record.generation or false, doubt and doubt[1] or false, doubt and doubt[4] or false,
    doubt and math.max((record.landed_at or 0) + LAG - now, 0) or 0, lease.generation or false,
    now - remembered_since(), not is_new and superseded(ARGV) and 1 or 0,
    landing > 0 and math.max(now - landing, 0), math.max(landing + LAG - now, 0),
    upload and 1 or 0}
  if upload then
    answer[15], answer[16], answer[17] = upload[2], upload[3], upload[4]
  end
  return answer
end

-- Ends a lease whose time is over, if there is one. The write of an armed lease becomes a doubt,
-- unless it was committed and the lease only kept the key blocked: then its first copy may have
-- landed since.
local function take_over()
  if not lease or not lease.generation then
    return
  end
  bury_doubt()
  if lease.nonce then
    record.doubt = {lease.write_id, lease.pre, lease.expect, lease.generation, blocked_until()}
  else
    may_have_landed(blocked_until())
  end
  record.state = '?'
end

local function acquire(KEYS, ARGV)
  local asker, nonce, write_id, condition = ARGV[2], ARGV[3], ARGV[4], ARGV[7]
  local upload = upload_named(ARGV[9])
  if now < epoch.quarantine_until then
    return {now, 'quarantine', epoch.quarantine_until - now}
  end
  if lease and lease.nonce == nonce then
    return granted(ARGV, upload)
  end
  local ending, written_at = ending_of(write_id)
  if ending then
    local kind, generation, state, said = told(ending)
    if kind ~= 'U' or condition ~= 'none' or supersedes(kind, generation, written_at, ARGV) then
      return {now, 'ended', epoch.id, kind, generation, state, said}
    end
  end
  local free_at = lease and blocked_until() or 0
  if now >= free_at then
    free_at = kept_for_another(asker) or 0
  end
  if now < free_at then
    wait_for_key(asker)
    local doubt = record.doubt
    return {now, 'busy', lease and lease.write_id or doubt and doubt[1] or false, free_at - now}
  end
  local landing = last_landing()
  if now < landing + SPACING then
    wait_for_key(asker)
    local doubt = record.doubt
    return {now, 'busy', lease and lease.write_id or doubt and doubt[1] or false,
      landing + SPACING - now}
  end
  if now < landing + LAG and condition ~= 'none' and is_undecided() then
    return {now, 'young', landing + LAG - now}
  end
  wait_no_more(asker)
  take_over()
  -- A doubt may still be written down.
  local is_new = not ending and not record.doubt and record.written == ''
  new_lease(nonce, write_id, ARGV[5] == 'long')
  local nothing_to_ask = condition == 'none' or (EXCLUSIVE and not record.doubt
    and satisfied(condition) and (ARGV[9] == '' or untouched(upload)))
  if nothing_to_ask and is_remembered(ARGV[6]) then
    arm_lease(record.state, ARGV[8])
  else
    lease.expires = now + LEASE
    put_key()
  end
  return granted(ARGV, upload, is_new)
end
