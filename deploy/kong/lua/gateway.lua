-- The gateway in Kong: carries Kong's own ways over to nginx/lua/edge.lua, which decides what Nginx's gateway block
-- decides too. kong.yml calls these functions; nothing here knows a route.
local M = {}

local base = debug.getinfo(1, "S").source:match("^@(.*)/kong/lua/gateway%.lua$")
local var = ngx.var
local consumer, dapr_api_token

-- edge.lua ends a request by ngx.exit. In Kong that would end it before the later plugins are known, and neither the
-- answer's headers nor the metrics would see it: kong.response.exit takes its place.
local inside = {}
function inside.exit(status)
    ngx.req.discard_body() -- else it would be read as the next request
    return kong.response.exit(status)
end
setmetatable(inside, { __index = ngx, __newindex = ngx })
local edge = setfenv(assert(loadfile(base .. "/nginx/lua/edge.lua")), setmetatable({ ngx = inside }, { __index = _G }))()

function edge.send(status, body, headers)
    return kong.response.exit(status, body, headers)
end

edge.refuse = inside.exit -- answer_headers tells why

-- address gives host and port of a sidecar.
local function address(text)
    return text:match("^(.*):(%d+)$")
end

local function start()
    edge.init {
        pages = base .. "/nginx/html",
        origins = assert(kong.vault.get("{vault://env/allowed-origins}")),
        rates = { token = 60, address = 60, login = 60 }, -- a sidecar's own 429; the plugin says itself how long to wait
    }
    dapr_api_token = assert(kong.vault.get("{vault://env/dapr-api-token}"))
    require("tickets").init(assert(kong.vault.get("{vault://env/drops-key}")))
    require("statuses").init(dapr_api_token)
end

-- enter comes before Kong's router (pre-function, rewrite). Kong removes, after all plugins, every header that
-- Connection names, those that check adds included; Kong-Debug tells clients about the cache; websockets are not ours.
function M.enter()
    for _, name in ipairs { "Connection", "Upgrade", "TE", "Kong-Debug" } do
        ngx.req.clear_header(name)
    end
end

-- check lets a request of this route pass, cleaned and with what the sidecar needs, or ends it (pre-function, access).
function M.check(route)
    if not dapr_api_token then
        start()
    end
    var.app, var.methods, var.limit, var.page = route.app, route.methods or "", route.limit or "", route.page and "yes" or ""
    var.work = route.work or ""
    var.ticket, var.shared = route.ticket and "wanted" or "", route.shared and "yes" or ""
    edge.check() -- does not come back when it refuses
    edge.shared(function() return address(route.shared) end) -- nor this when it answers
    edge.ticket(function() return address(route.ticket) end)

    local set, clear = ngx.req.set_header, ngx.req.clear_header
    set("dapr-app-id", route.app)
    set("dapr-api-token", dapr_api_token)
    set("X-Request-Id", var.rid)
    if var.http_accept then
        set("Accept", var.safe_accept)
    end
    clear("Accept-Encoding")
    if not route.page then
        clear("Cookie")
    end
    var.upstream_uri = var.raw_path -- as it came; Kong would send it normalized. Kong adds the query.
    var.upstream_via = ""
    for _, name in ipairs { "for", "proto", "host", "port", "path", "prefix" } do
        var["upstream_x_forwarded_" .. name] = ""
    end

    -- rate-limiting runs once a request: by token for the consumer "token", else by address.
    local token = var.token -- once: every reading evaluates the map again
    if token ~= "" and route.limit ~= "login" then
        consumer = consumer or assert(kong.client.load_consumer("token", true))
        kong.client.authenticate(consumer, { id = token })
    end

    -- proxy-cache joins the decoded query to its key so that two queries can have one: the raw one makes them two.
    -- Only who shows no token is served from it, and nobody can ask it to be left out.
    if route.cache then
        set("X-Cache-Key", var.request_uri)
        if var.http_authorization then
            set("Cache-Control", "no-store")
        else
            clear("Cache-Control")
        end
    end
end

-- leave comes after the other plugins (post-function, access), and not when one of them answered: what only they had
-- to know goes, and the request is taken in hand.
function M.leave()
    if var.http_x_cache_key then
        ngx.req.clear_header("X-Cache-Key")
        ngx.req.clear_header("Cache-Control")
    end
    edge.admit() -- does not come back when it refuses
end

-- show_kind gives proxy-cache the Content-Type that server.conf hides for edge.lua's sake (pre-function, header_filter).
-- These two carry no charset that could stay behind. What sets a cookie is for one client: without a type it is not kept.
function M.show_kind()
    local kind = var.upstream_http_content_type
    if var.upstream_http_set_cookie then
        return
    end
    if kind == "application/json" or kind == "application/problem+json" then
        ngx.header["Content-Type"] = kind
    end
end

-- answer_headers and answer_body: post-function, header_filter and body_filter.
function M.answer_headers()
    if ngx.status == 417 then
        ngx.status = 413 -- request-size-limiting, of a client that asked first (Expect)
    end
    edge.answer_headers(ngx.header["Retry-After"]) -- of rate-limiting, which counts here
end

M.answer_body = edge.answer_body

-- answered: post-function, log.
function M.answered()
    if kong.ctx.shared.proxy_cache_hit then
        var.cache = "HIT"
    end
    edge.answered()
end

return M
