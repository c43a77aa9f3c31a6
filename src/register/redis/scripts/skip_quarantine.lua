-- The step skip_quarantine: ends the quarantine of the partition.
--
-- KEYS:    [1] the partition
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok'}
-- Uses:    clock.lua (now); prelude.lua (partition)

redis.call('HSET', partition, 'quar', 0)
return {now, 'ok'}
