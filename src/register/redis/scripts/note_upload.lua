-- The step note_upload: remembers how the key stood before an upload of it was created.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] upload; [3] epoch in which
--          the key was observed; [4] its generation then, or ''; [5] its pending generation then,
--          or ''
-- Returns: {now, 'ok'}
--          {now, 'lost'}: that was another epoch
-- Defines: note_upload
-- Uses:    format.rs (UPLOADS_MAX, UPLOAD_TTL); prelude.lua (epoch, now); key.lua (put_key, record)

local function note_upload(KEYS, ARGV)
  local upload_name = ARGV[2]
  if ARGV[3] ~= epoch.id then
    return {now, 'lost'}
  end
  local oldest, kept = now - UPLOAD_TTL, {}
  for _, upload in ipairs(record.uploads) do
    if upload[1] ~= upload_name and upload[4] >= oldest then
      kept[#kept + 1] = upload
    end
  end
  while #kept >= UPLOADS_MAX do
    table.remove(kept, 1)
  end
  kept[#kept + 1] = {upload_name, tonumber(ARGV[4]) or false, tonumber(ARGV[5]) or false, now}
  record.uploads = kept
  put_key()
  return {now, 'ok'}
end
