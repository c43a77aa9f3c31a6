-- The register's clock, read once for the whole step.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: now: milliseconds since 1970, of Redis's TIME
-- Uses:    nothing

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
