-- Which edge sidecars requests go to, what they want to be sent, and how tickets of drops are signed: as edges.list says at
-- this moment. Who changes that file takes a sidecar out, brings one in that wants another token, or changes a key, without
-- a reload, which would cut connections that are just being used.
local M = {}

local balancer = require("ngx.balancer")

local file, told
local current, text, looked, turn = {}, nil, 0, 0

-- Written in one step by another file's rename, so that it is never read half.
local function look()
    local handle = io.open(file, "r")
    local now = handle and handle:read("*a")
    if handle then
        handle:close()
    end
    if not now or now == text then
        return
    end
    text = now
    local settings, lists = {}, {}
    for line in now:gmatch("[^\n]+") do
        local name, value = line:match("^(%S+)%s+(.+)$")
        if name and name:find("^%u") then
            settings[name] = value
        elseif name then
            lists[name] = {}
            for host, port in value:gmatch("(%S+):(%d+)") do
                table.insert(lists[name], { host = host, port = tonumber(port) })
            end
        end
    end
    current = { lists = lists, token = settings.DAPR_API_TOKEN }
    told { key = settings.DROPS_KEY, api_token = settings.DAPR_API_TOKEN }
end

-- init reads the file for the first time, before the workers start. tell is told the keys then, and after each change.
function M.init(path, tell)
    file, told = path, tell
    look()
end

-- choose has a request keep to what the file says now: a sidecar takes no other token than its own. Access phase.
function M.choose()
    if ngx.now() - looked > 0.1 then
        looked = ngx.now()
        look()
    end
    ngx.ctx.edges = current
    ngx.var.sidecar_token = current.token
end

-- pick sends the request to the next sidecar of an edge; with a key always to the same one, as long as the list stays.
function M.pick(edge, key)
    local list = ngx.ctx.edges.lists[edge]
    turn = turn + 1
    local peer = list[(key and ngx.crc32_short(key) or turn) % #list + 1]
    assert(balancer.set_current_peer(peer.host, peer.port))
    ngx.shared.edges:incr(peer.host .. ":" .. peer.port, 1, 0)
end

-- any gives host and port of one of the sidecars that let everybody in, for what the gateway asks itself. It takes nobody's
-- turn.
function M.any()
    local list = current.lists.edge
    local peer = list[math.random(#list)]
    return peer.host, peer.port
end

-- done notes that a sidecar has one request less in hand. Log phase, which comes whatever became of the request.
function M.done()
    local address = ngx.var.upstream_addr
    if address and address ~= "" then
        ngx.shared.edges:incr(address, -1)
    end
end

-- tell says how many requests each sidecar has in hand: who takes one out of the list waits for them.
function M.tell()
    ngx.header["Content-Type"] = "text/plain"
    for _, address in ipairs(ngx.shared.edges:get_keys(0)) do
        ngx.say(address, " ", ngx.shared.edges:get(address))
    end
end

return M
