-- The processes that wait for the key: their stored form (format.rs), and the steps of waiters.rs.
--
-- KEYS:    none
-- ARGV:    [2] the process that asks
-- Defines: kept_for_another, wait_for_key, wait_no_more
-- Uses:    format.rs (TURN, TURN_GRANTS, WAITER_KEPT, WAITERS_MAX); clock.lua (now); prelude.lua
--          (name, partition)

local asker = ARGV[2]
local waiters_field = '>' .. redis.sha1hex(name)
local packed_waiters = redis.call('HGET', partition, waiters_field)
local waiters, first_since, gone_before = {}, 0, 0
if packed_waiters then
  local _
  _, first_since, gone_before, waiters = cmsgpack.unpack(packed_waiters)
end

local function put_waiters()
  local last_until = 0
  for _, waiter in ipairs(waiters) do
    last_until = math.max(last_until, waiter[2])
  end
  redis.call('HSET', partition, waiters_field,
    cmsgpack.pack(last_until, first_since, gone_before, waiters))
end

local function forget_waiters(leaving)
  local first, kept = waiters[1], {}
  for _, waiter in ipairs(waiters) do
    if now < waiter[2] and waiter[1] ~= leaving then
      kept[#kept + 1] = waiter
    end
  end
  if kept[1] ~= first then
    first_since, gone_before = kept[1] and now or 0, 0
  end
  waiters = kept
end

-- Until when a key that is free is kept for another process; nil if it is not.
local function kept_for_another()
  forget_waiters()
  local first = waiters[1]
  local over = now >= first_since + TURN or gone_before >= TURN_GRANTS
  if first and first[1] ~= asker and over then
    return first[2]
  end
  return nil
end

local function wait_for_key()
  forget_waiters()
  local waits = false
  for _, waiter in ipairs(waiters) do
    if waiter[1] == asker then
      waiter[2], waits = now + WAITER_KEPT, true
    end
  end
  if not waits and #waiters < WAITERS_MAX then
    first_since = waiters[1] and first_since or now
    waiters[#waiters + 1] = {asker, now + WAITER_KEPT}
  end
  put_waiters()
end

local function wait_no_more()
  if not packed_waiters then
    return
  end
  gone_before = gone_before + 1
  forget_waiters(asker)
  if waiters[1] then
    put_waiters()
  else
    redis.call('HDEL', partition, waiters_field)
  end
end
