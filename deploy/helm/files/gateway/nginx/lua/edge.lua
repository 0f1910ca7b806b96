-- What the gateway block decides beyond Nginx's own directives: which requests it refuses, what it removes from them,
-- and how errors that no service wrote are told. Its only state is how much is in hand.
local M = {}

local admission = require("admission").new()
local statuses = require("statuses")
local tickets = require("tickets")

local find = ngx.re.find

-- One problem a status: { slug, title, detail }. Everything else that fails is "unavailable".
local problems = {
    [400] = { "malformed", "The request could not be read", "Its address or its headers are not acceptable." },
    [401] = { "unauthenticated", "Not signed in", "A valid access token is needed." },
    [403] = { "forbidden", "Forbidden", "This is not open to you." },
    [404] = { "not-found", "Not found", "There is nothing at this address." },
    [405] = { "method-not-allowed", "Method not allowed", "This address does not take this method." },
    [413] = { "too-large", "Too large", "The body is larger than this address takes." },
    [414] = { "too-large", "Too large", "The address is too long." },
    [429] = { "too-many-requests", "Too many requests", "Please wait before you try again." },
    [431] = { "too-large", "Too large", "The headers are too large." },
    [503] = { "unavailable", "Not available right now", "Please try again shortly." },
}

-- What is told of a claim that tickets.lua refuses and of a drop that is not there, as the service would:
-- { status, slug, title, detail, seconds to wait }.
local refusals = {
    ["ticket-invalid"] = { 403, "ticket-invalid", "The ticket is not this account's for this drop, or too old",
        "A claim needs the ticket that its entry was answered with." },
    ["not-called"] = { 409, "not-called", "It is not your turn yet", "Your place in the order has not been called.", 2 },
    ["too-often"] = { 429, "too-many-requests", "Too many requests", "A claim may be sent again after 2 seconds.", 2 },
    ["drop-not-found"] = { 404, "drop-not-found", "There is no such drop", "" },
    ["unclear"] = { 503, "unavailable", "Not available right now", "Please try again shortly.", 2 },
}

-- What no client may say: who it is, where it came from, which service it means, which trace it belongs to.
local spoofable = [[^(dapr-|metadata\.|forwarded|x-forwarded|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip]]
    .. [[|cf-|fastly-|x-original-|x-rewrite-|x-envoy-|x-amzn-|x-kong-|x-consumer|x-credential|x-anonymous]]
    .. [[|x-auth|x-user|x-account|x-role|x-subject|x-email|x-remote-|remote-|x-id-token|x-access-token]]
    .. [[|traceparent$|tracestate$|baggage$|b3$|x-b3-|x-trace|x-cloud-trace|uber|ot-|sw8|grpc-]]
    .. [[|x-http-method|x-method-override|proxy)]]

-- Headers that count once: of two copies the service might read the other one.
local once = {
    authorization = true, accept = true, ["content-type"] = true, ["content-length"] = true, host = true,
    ["idempotency-key"] = true, origin = true, ["x-cart-session"] = true, ["x-request-id"] = true, ["user-agent"] = true,
    ["drop-ticket"] = true,
}

-- Paths that the sidecar and the service would read differently: anything encoded that
-- means something in a path, control characters, doubled slashes, dot segments.
local odd = [[^[^/]|%(25|23|3f|2e|2f|5c|[01][0-9a-f]|7f)|//|[\\#\x00-\x20\x7f]|/\.\.?(/|;|$)]]

-- broken tells text that is not UTF-8, which the sidecars cannot pass on (their calls are protobuf).
local function broken(text)
    return find(text, "[\\x80-\\xff]", "jo") and not find(text, "^", "jou")
end

local pages, origins, waits = {}, {}, {}

local function read(path)
    local file = assert(io.open(path, "r"))
    local text = file:read("*a")
    file:close()
    return text
end

-- init reads the pages and the settings, once, before the workers start.
function M.init(settings)
    pages.refused = read(settings.pages .. "/4xx.html")
    pages[429] = read(settings.pages .. "/429.html")
    pages[503] = read(settings.pages .. "/503.html")
    for origin in settings.origins:gmatch("[^%s,]+") do
        origins[origin] = true
    end
    for name, rate in pairs(settings.rates) do
        waits[name] = math.ceil(60 / rate) -- seconds until one more request fits
    end
end

-- quote writes a JSON string. Bytes that are not ASCII are left out of it: they need not be UTF-8.
local function quote(s)
    return '"' .. s:gsub('[%c"\\\127-\255]', function(c)
        return string.format("\\u%04x", c == "\\" and 92 or c:byte() < 128 and c:byte() or 0xfffd)
    end) .. '"'
end

-- describe sets the headers of an answer of ours to this status, and gives its body. wait is how many seconds until
-- one more request fits, when somebody else counts.
local function describe(status, wait)
    local refusal = refusals[ngx.var.ticket] or refusals[ngx.var.shared]
    local slug, title, detail = unpack(refusal or problems[status], refusal and 2 or 1)
    wait = refusal and refusal[5] or wait
    local header = ngx.header
    local page = pages[status] or pages.refused
    header["Cache-Control"] = "no-store"
    if status == 401 then
        header["WWW-Authenticate"] = 'Bearer realm="stampede"'
    elseif status == 405 then
        header["Allow"] = ngx.var.methods:gsub(" ", ", ")
    elseif status == 429 then
        wait = wait or ngx.var.limit == "login" and waits.login or ngx.var.token ~= "" and waits.token or waits.address
        header["Retry-After"] = wait
        page = page:gsub('<!%-%-# echo var="wait_words" %-%->', tonumber(wait) == 1 and "1 second" or wait .. " seconds")
    elseif status == 503 then
        local later = 2
        if ngx.var.admitted == "refused" then -- a crowd comes back spread; browsers do so by themselves, and need not hurry
            later = ngx.var.page == "yes" and math.random(4, 10) or math.random(3)
        end
        header["Retry-After"] = later
    elseif wait then
        header["Retry-After"] = wait
    end
    if ngx.var.page == "yes" and status ~= 400 and status ~= 405 then
        header["Content-Type"] = "text/html; charset=utf-8"
        return page
    end
    header["Content-Type"] = "application/problem+json"
    return string.format(
        '{"type":"urn:stampede:problem:%s","title":"%s","status":%d,"detail":"%s","instance":%s,"trace_id":"%s"}',
        slug, title, status, detail, quote(ngx.var.raw_path), ngx.var.rid)
end

-- send answers a request. Kong has its own way, of refuse too.
function M.send(status, body, headers)
    ngx.status = status
    for name, value in pairs(headers) do
        ngx.header[name] = value
    end
    ngx.header["Content-Length"] = #body
    ngx.print(body)
    return ngx.exit(ngx.HTTP_OK)
end

-- refuse answers with a problem, here and now: a crowd costs less than by error_page, which leads what Nginx itself refuses to
-- M.refused.
function M.refuse(status)
    return M.send(status, describe(status), {})
end

local function refuse(status)
    return M.refuse(status)
end

-- allow_origin lets a browser on a listed origin read the answer.
local function allow_origin()
    local origin = ngx.var.http_origin
    if origin and origins[origin] then
        ngx.header["Access-Control-Allow-Origin"] = origin
        ngx.header["Access-Control-Expose-Headers"] = "ETag, Location, Retry-After, X-Request-Id"
        return true
    end
end

local function preflight(methods)
    if allow_origin() then
        ngx.header["Access-Control-Allow-Methods"] = methods:gsub(" ", ", ")
        ngx.header["Access-Control-Allow-Headers"] =
            "Authorization, Content-Type, Drop-Ticket, Idempotency-Key, If-None-Match, X-Cart-Session, X-Request-Id"
        ngx.header["Access-Control-Max-Age"] = "600"
    end
    return ngx.exit(204)
end

-- check decides whether a request may pass, and cleans it. Rewrite phase: the route's variables are set,
-- the limits are still to come.
function M.check()
    local var = ngx.var
    local path = var.raw_path
    local decoded = ngx.unescape_uri(path)
    if find(path, odd, "ijo") or find(decoded, [[^/v1\.0]], "ijo") or broken(decoded) or broken(var.request_uri) then
        return refuse(400)
    end
    if var.app == "" then
        return refuse(404)
    end

    local headers = ngx.req.get_headers(0)
    if (headers["host"] or "") == "" then
        return refuse(400) -- HTTP/1.0; Nginx itself refuses the others
    end
    for name, value in pairs(headers) do
        if find(name, spoofable, "ijo") then
            ngx.req.clear_header(name)
        elseif type(value) == "table" then
            if once[name] then
                return refuse(400)
            end
            for _, one in ipairs(value) do
                if broken(tostring(one)) then
                    return refuse(400)
                end
            end
        elseif broken(name) or broken(tostring(value)) then
            return refuse(400)
        end
    end

    local method = var.request_method
    if method == "OPTIONS" and headers["origin"] and headers["access-control-request-method"] and var.page == "" then
        return preflight(var.methods)
    end
    if not (" " .. var.methods .. " "):find(" " .. method .. " ", 1, true) then
        return refuse(405)
    end
end

-- ticket refuses a claim by its ticket, where the route wants one. sidecar is as in tickets.lua. Access phase.
function M.ticket(sidecar)
    local var = ngx.var
    if var.ticket == "" then
        return
    end
    local why = tickets.check(ngx.unescape_uri(var.raw_path), var.http_drop_ticket, var.app, sidecar)
    if why then
        var.ticket = why
        return refuse(refusals[why][1])
    end
end

-- shared answers how a drop stands, where the route is for that, and nobody behind is asked for this one. sidecar is as in
-- statuses.lua. Access phase.
function M.shared(sidecar)
    local var = ngx.var
    if var.shared ~= "yes" then
        return
    end
    local above, drop = statuses.split(ngx.unescape_uri(var.raw_path))
    local text, status = nil, 404
    if drop then
        text, status = statuses.of(above, drop, var.app, sidecar)
    end
    if text then -- a browser with stale-while-revalidate would show who waits what it was answered the time before
        return M.send(200, text, { ["Content-Type"] = "application/json", ["Cache-Control"] = "public, max-age=1" })
    end
    if status == 404 then
        var.shared = "drop-not-found"
    end
    return refuse(status)
end

-- work gives a request's class. Who waits for news of an order or of an entry (?wait=25) holds a connection and no work; what
-- else has a wait in its query is what it is without.
local function work(var)
    local class = var.work
    local news = class == "checkout" and var.app == "orders" or class == "drop" and var.app == "drops"
    if news and var.request_method == "GET" and (var.arg_wait or ""):find("^[1-9]") then
        return "wait"
    end
    return class
end

-- A browser that sends a form cannot send it again by itself, and what was typed would be lost: it waits for room.
local patience, look = 4, 0.25 -- seconds; with the 30 for an answer less than the front's 35
local function form(var)
    return var.page == "yes" and var.request_method == "POST"
end

-- wait_for enters as soon as there is room, and says whether there was.
local function wait_for(class)
    if not admission:enter("wait") then
        return false
    end
    local entered, last = false, ngx.now() + patience
    while not entered and ngx.now() < last do
        ngx.sleep(look * (0.5 + math.random()))
        entered = admission:enter(class)
    end
    admission:leave("wait")
    return entered
end

-- crowded refuses what admit would, before anything else is looked at: a crowd costs a quarter less then. Rewrite phase,
-- where nothing answers by itself but preflights.
function M.crowded()
    local var = ngx.var
    local class = work(var)
    if class ~= "" and admission:full(class) and var.request_method ~= "OPTIONS" and not form(var) then
        var.admitted = "refused"
        return refuse(503)
    end
end

-- admit takes the request in hand, or refuses it while too much is. Access phase: the limits are behind it. What has no
-- class of work is always let in.
function M.admit()
    local var = ngx.var
    local class = work(var)
    if class == "" then
        return
    end
    if not admission:enter(class) and not (form(var) and wait_for(class)) then
        var.admitted = "refused"
        return refuse(503)
    end
    var.admitted = class
end

-- answered puts it down again. Log phase, which comes whatever became of the request. How long somebody stayed who hung up
-- says nothing of how fast answers come: else a crowd that reloads would be let in the more, the less it is answered.
function M.answered()
    local var = ngx.var
    local class = var.admitted
    if class ~= "" and class ~= "refused" then
        admission:leave(class, ngx.now(), var.status ~= "499" and tonumber(var.upstream_response_time) or nil)
    end
end

-- tell gives the status that a client is told for one that Nginx or the sidecar came up with.
local function tell(status)
    if problems[status] or refusals[ngx.var.ticket] then
        return status
    elseif status == 494 then
        return 431
    elseif status < 500 or status == 501 or status == 505 then
        return 400
    end
    return 503
end

-- refused is the content of what Nginx itself refuses or cannot reach.
function M.refused()
    ngx.req.discard_body()
    return refuse(tell(ngx.status))
end

-- answer_headers replaces errors that no service wrote: a service answers every status from 400 on as a problem
-- document, the faces also as a page; any other type comes from a sidecar, with addresses inside. wait is as in
-- describe.
function M.answer_headers(wait)
    local page = ngx.var.page == "yes"
    if not page and ngx.var.app ~= "" then
        local vary = ngx.header["Vary"]
        if type(vary) == "table" then
            vary = table.concat(vary, ", ")
        end
        ngx.header["Vary"] = vary and vary .. ", Origin" or "Origin" -- in one line: caches may read only one
        allow_origin()
    end

    local kind = ngx.header["Content-Type"] or ngx.var.upstream_http_content_type or ""
    ngx.header["Content-Type"] = kind ~= "" and kind or nil
    local status = ngx.status
    if status < 400 then
        return
    end
    if find(kind, "^application/problem\\+json", "ijo") or page and find(kind, "^text/html", "ijo") then
        return
    end
    ngx.status = tell(status)
    ngx.ctx.body = describe(ngx.status, wait)
    ngx.header["Content-Length"] = #ngx.ctx.body
    ngx.header["Content-Encoding"] = nil
    ngx.header["ETag"] = nil
    ngx.header["Last-Modified"] = nil
end

-- answer_body sends what answer_headers wrote instead of the sidecar's bytes.
function M.answer_body()
    local body = ngx.ctx.body
    if body ~= nil then
        ngx.arg[1] = body or nil
        ngx.ctx.body = false
    end
end

return M
