-- wrk: sends the raw requests of a file in turn, and prints one line for end_to_end.py.
-- The file: each request as its length in decimal, a line feed, and its bytes.

local requests, next_one = {}, 0

function init(arguments)
  local file = assert(io.open(arguments[1], 'rb'))
  for length in function() return file:read('*n') end do
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end

-- wrk's own times are in microseconds.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('result %d %d %d %d %d\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
