-- Ends a lease under which nothing landed. A tainted one means that somebody else's write landed:
-- whatever its holder knew of the key is void.
local function end_without_landing(state)
  if lease.tainted then
    record.state = '?'
    record.generation = next_generation()
  else
    record.state = state
  end
  drop_lease()
  put_record()
end
