if not record.generation then
  local empty = record.state == '?' and record.lines == 0 and #record.uploads == 0
    and not record.doubt and not record.last_nonce and not record.forgotten
  record.generation = next_generation()
  put_record(empty and PIN_TTL)
else
  redis.call('PEXPIRE', KEYS[2], PIN_TTL, 'GT')
end
