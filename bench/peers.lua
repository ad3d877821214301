-- wrk -s peers.lua URL -- PREFIX KEYS READS BODY: one request after the other on uniformly drawn keys.
-- READS is the share of GETs, or "from N": all keys are written in order, from the Nth on. BODY is "raw" for the
-- value as it is, "form" for etcd's v2 API.
local prefix, keys, reads, put, headers, next_key

local function drawn()
  if not next_key then return math.random(0, keys - 1) end
  next_key = next_key + 1
  return (next_key - 1) % keys
end

function init(args)
  local value = string.rep("v", 100)
  prefix, keys, reads = args[1], tonumber(args[2]), tonumber(args[3]) or 0
  put = args[4] == "form" and "value=" .. value or value
  headers = args[4] == "form" and { ["Content-Type"] = "application/x-www-form-urlencoded" } or nil
  math.randomseed(os.time())
  next_key = tonumber(args[3]:match("from (%d+)"))
end

function request()
  local path = prefix .. string.format("%018d", drawn())
  if reads > 0 and math.random() < reads then return wrk.format("GET", path) end
  return wrk.format("PUT", path, headers, put)
end

function done(summary, latency)
  local errors = summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout
  io.write(string.format('{"requests": %d, "per_s": %.1f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}\n',
    summary.requests, summary.requests * 1e6 / summary.duration,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors))
end
