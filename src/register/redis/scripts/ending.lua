--- Ends a lease under which nothing landed. A tainted one means that somebody else's write landed:
--- whatever its holder knew of the key is void. A state that is not the one believed is the work of
--- somebody who goes around the proxies: a generation of its own.
local function end_without_landing(state)
  local overturned = record.state ~= '?' and state ~= '?' and state ~= record.state
  if lease.tainted or overturned then
    record.generation = next_generation()
  end
  record.state = lease.tainted and '?' or state
  drop_lease()
  put_record()
end
