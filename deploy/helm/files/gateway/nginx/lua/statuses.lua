-- How drops stand, kept for everybody who asks the gateway, with a ticket or without: a status reaches drops twice a second
-- at most, however many ask. Nothing but a drop's name decides what is asked, and names that no drop has are told from the
-- list of drops: who makes names up makes no work.
local M = {}

local fresh = 0.5 -- seconds for which a status is believed
local listed = 1 -- seconds for which the list is
local few = 20 -- requests a second for names that the list has not: it has the newest drops alone
local lately = 2 -- seconds after an attempt during which what is old is shown while somebody asks again
local none = "none" -- kept of a drop that is not there

local api_token

-- init takes what the sidecars are sent. It may be called again.
function M.init(token)
    api_token = token
end

-- fetch asks an edge's sidecar for a path, and gives the answer's status and body, or nothing.
local function fetch(path, app, host, port)
    local socket = ngx.socket.tcp()
    socket:settimeouts(500, 500, 1000)
    if not socket:connect(host, port) then
        return
    end
    socket:send { "GET ", path, " HTTP/1.0\r\nHost: ", host, "\r\ndapr-app-id: ", app, "\r\ndapr-api-token: ", api_token, "\r\n\r\n" }
    local answer = socket:receive("*a") or ""
    socket:close()
    local status, head, body = answer:match("^HTTP/1%.%d (%d%d%d)(.-)\r\n\r\n(.*)$")
    local length = head and head:lower():match("\ncontent%-length: *(%d+)")
    if status and (not length or #body == tonumber(length)) then -- else it was cut off
        return tonumber(status), body
    end
end

-- kept gives what keep made of the answer at a path within the last seconds, "" when it made nothing of it. One request of
-- all workers asks, the others wait for that: not if somebody has asked lately, for then what was there is hardly old, or
-- nobody answers. When keep makes nothing of an answer, what was there counts on. may is asked before anybody is: if not, it
-- comes back with what was there, or with nothing.
local function kept(path, app, sidecar, seconds, keep, may)
    local store, asks, tried = ngx.shared.tickets, "asks," .. path, "tried," .. path
    for _ = 1, 100 do
        local text, _, old = store:get_stale("kept," .. path)
        if text and not old then
            return text
        end
        if store:add(asks, true, 6) then
            text, _, old = store:get_stale("kept," .. path) -- who asked before may have had it just now
            if text and not old then
                store:delete(asks)
                return text
            end
            if may() then
                text = keep(fetch(path, app, sidecar())) or text or ""
                store:set("kept," .. path, text, seconds)
                store:set(tried, true, lately)
            end
            store:delete(asks)
            return text
        elseif text and store:get(tried) then
            return text
        end
        ngx.sleep(0.03)
    end
    return ""
end

-- named says whether there is a drop whose status is at a path, by the list of drops.
local function named(path, above, app, sidecar)
    local store = ngx.shared.tickets
    local function note(status, body)
        if status ~= 200 then
            return
        end
        for drop in body:gmatch('"slug":"([a-z0-9-]+)"') do
            store:set("named," .. above .. drop .. "/status", true, 60)
        end
        return "noted"
    end
    if not store:get("named," .. path) then
        kept(above:sub(1, -2), app, sidecar, listed, note, function() return true end)
    end
    return store:get("named," .. path)
end

-- split gives what is above a drop in a path .../<drop>/<word>, and the drop's name.
function M.split(path)
    local above, drop = path:match("^(.*/)([a-z0-9-]+)/[^/]+/?$")
    if drop and #drop <= 100 then
        return above, drop
    end
end

-- of gives the status document of a drop, or nothing and with which HTTP status to say so. Its service app has it at
-- <above><drop>/status, and the list of drops at above. sidecar gives host and port of the edge that lets everybody in.
function M.of(above, drop, app, sidecar)
    local path, store = above .. drop .. "/status", ngx.shared.tickets
    local text = kept(path, app, sidecar, fresh, function(status, body)
        if status == 200 then
            store:set("named," .. path, true, 60)
            return body
        end
        return status == 404 and none
    end, function()
        return named(path, above, app, sidecar) or (store:incr("strangers", 1, 0, 1) or 0) <= few
    end)
    if not text then
        return nil, 429
    elseif text == none then
        return nil, 404
    elseif text == "" then
        return nil, 503
    end
    return text
end

return M
