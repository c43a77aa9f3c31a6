if not record.generation then
  record.generation = next_generation()
  put_record()
end
