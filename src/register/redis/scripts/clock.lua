-- The register's clock. A step reads it once.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: clock: milliseconds since 1970, of Redis's TIME
-- Uses:    nothing

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
