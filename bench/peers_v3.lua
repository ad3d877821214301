-- As peers.lua, for etcd's v3 gateway: JSON with keys and values in base64.
local keys, reads, next_key
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  local out = {}
  for at = 1, #text, 3 do
    local a, b, c = text:byte(at, at + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for place = 0, 3 do
      local six = math.floor(bits / 64 ^ (3 - place)) % 64
      out[#out + 1] = (place == 2 and not b or place == 3 and not c) and "=" or alphabet:sub(six + 1, six + 1)
    end
  end
  return table.concat(out)
end

local value = base64(string.rep("v", 100))

local function drawn()
  if not next_key then return math.random(0, keys - 1) end
  next_key = next_key + 1
  return (next_key - 1) % keys
end

function init(args)
  keys, reads = tonumber(args[2]), tonumber(args[3]) or 0
  math.randomseed(os.time())
  next_key = tonumber(args[3]:match("from (%d+)"))
end

function request()
  local key = base64(string.format("k/%018d", drawn()))
  if reads > 0 and math.random() < reads then
    return wrk.format("POST", "/v3/kv/range", nil, '{"key":"' .. key .. '"}')
  end
  return wrk.format("POST", "/v3/kv/put", nil, '{"key":"' .. key .. '","value":"' .. value .. '"}')
end
function done(summary, latency)
  local errors = summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout
  io.write(string.format('{"requests": %d, "per_s": %.1f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}\n',
    summary.requests, summary.requests * 1e6 / summary.duration,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors))
end
