-- The processes that wait for the key, as waiters.rs keeps them. They are in the library's memory
-- alone: no law depends on them.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: kept_for_another, wait_for_key, wait_no_more
-- Uses:    format.rs (TURN, TURN_GRANTS, WAITER_KEPT, WAITERS_MAX); prelude.lua (epoch, key, now)

-- Those that still wait, without the one that leaves; nil if there is none. The list of a key has a
-- `first_since` and a `gone_before` besides, and each waiter its name and until when it is kept.
local function still_waiting(leaving)
  local waiters = epoch.waiters[key]
  if not waiters then
    return nil
  end
  local first, kept = waiters[1], {}
  for _, waiter in ipairs(waiters) do
    if now < waiter[2] and waiter[1] ~= leaving then
      kept[#kept + 1] = waiter
    end
  end
  if not kept[1] then
    kept = nil
  elseif kept[1] == first then
    kept.first_since, kept.gone_before = waiters.first_since, waiters.gone_before
  else
    kept.first_since, kept.gone_before = now, 0
  end
  epoch.waiters[key] = kept
  return kept
end

-- Until when a key that is free is kept for another process; nil if it is not.
local function kept_for_another(asker)
  local waiters = still_waiting()
  if not waiters or waiters[1][1] == asker then
    return nil
  end
  local over = now >= waiters.first_since + TURN or waiters.gone_before >= TURN_GRANTS
  return over and waiters[1][2] or nil
end

local function wait_for_key(asker)
  local waiters = still_waiting() or {first_since = now, gone_before = 0}
  epoch.waiters[key] = waiters
  for _, waiter in ipairs(waiters) do
    if waiter[1] == asker then
      waiter[2] = now + WAITER_KEPT
      return
    end
  end
  if #waiters < WAITERS_MAX then
    waiters[#waiters + 1] = {asker, now + WAITER_KEPT}
  end
end

local function wait_no_more(asker)
  local waiters = epoch.waiters[key]
  if waiters then
    waiters.gone_before = waiters.gone_before + 1
    still_waiting(asker)
  end
end
