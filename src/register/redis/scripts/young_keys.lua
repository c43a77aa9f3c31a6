-- The step young_keys: what was written less than LAG ago, in a range of keys, in several partitions of
-- one server.
--
-- KEYS:    none
-- ARGV:    [1] beginning of the names of new epochs, should any begin (prelude.lua); [2] the range's
--          first entry, as ZRANGEBYLEX takes it; [3] its last; [4] how many of a set are wanted; [5]
--          the namespace; then, in a cluster, the numbers of the server's partitions
-- Returns: {now, 'ok', ms until all quarantines are over, number of shelves from which entries were
--          left out, then, if there is any entry, a list of the epochs' tags, and for each set that has
--          any a list of its entries (format.rs)}
-- Defines: young_keys
-- Uses:    format.rs (CLUSTER, LAG, PARTITIONS); prelude.lua (begin_each, call, memory, now); key.lua (left_out,
--          young_set)

-- The names of all partitions, by namespace.
local all_partitions = {}

local function partitions_of(ARGV)
  local namespace = ARGV[5]
  if not CLUSTER and all_partitions[namespace] then
    return all_partitions[namespace]
  end
  local partitions = {}
  if CLUSTER then
    for i = 6, #ARGV do
      partitions[i - 5] = '{' .. namespace .. ':' .. ARGV[i] .. '}'
    end
    return partitions
  end
  for number = 0, PARTITIONS - 1 do
    partitions[number + 1] = '{' .. namespace .. ':' .. number .. '}'
  end
  all_partitions[namespace] = partitions
  return partitions
end

local function young_keys(_, ARGV)
  local partitions = partitions_of(ARGV)
  local refused, quarantine = begin_each(partitions, ARGV[1])
  if refused then
    return refused
  end
  local tags = {}
  local answer = {now, 'ok', quarantine, 0, tags}
  -- What was written in an earlier stretch is old.
  local stretch = math.floor(now / LAG)
  -- All have one shelf but in a cluster.
  for i = 1, CLUSTER and #partitions or 1 do
    local shelf = memory[partitions[i]].shelf
    answer[4] = answer[4] + call('EXISTS', left_out(shelf))
    for written = stretch - 1, stretch do
      local set = young_set(shelf, written)
      local entries = call('ZRANGEBYLEX', set, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
      if entries[1] then
        answer[#answer + 1] = entries
      end
    end
  end
  if answer[6] then
    for i, of in ipairs(partitions) do
      tags[i] = memory[of].tag
    end
  else
    answer[5] = nil
  end
  return answer
end
