-- wrk: sends the raw requests of a file in turn, and prints one line for drives.py.
-- Arguments: the file, which has each request as its length in decimal, a line feed, and its bytes; and for
-- how long a connection waits before a request, in ms on average.

local requests, next_one = {}, 0

function init(arguments)
  local file = assert(io.open(arguments[1], 'rb'))
  for length in function() return file:read('*n') end do
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  local mean = tonumber(arguments[2])
  if mean > 0 then
    -- wrk takes whole milliseconds. Spread, so that the connections do not come at the same moment.
    function delay() return math.floor(math.random() * 2 * mean + 0.5) end
  end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end

-- Called in a state of its own, which knows nothing of the arguments. wrk's own times are in microseconds.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('result %d %d %d %d %d %d\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
