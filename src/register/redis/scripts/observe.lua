local leased = lease and now < blocked_until(lease)
return {now, 'ok', record.state, named(record.generation) or false, named(pending()) or false, eid,
  math.max(quarantine_until - now, 0), leased and 1 or 0}
