if not lease or now < blocked_until(lease) then
  return {now, 'lost'}
end
take_over()
drop_lease()
return {now, 'ok'}
