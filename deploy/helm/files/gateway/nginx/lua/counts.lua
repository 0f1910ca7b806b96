-- What the gateway has answered, for Prometheus: how many requests, by service, kind of work and status, and how long
-- they took. In memory that the workers share, three steps a request.
local M = {}

local counts = ngx.shared.counts
local bounds = { 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

-- note counts a request. Log phase, which comes whatever became of it.
function M.note()
    local var = ngx.var
    local work = var.admitted ~= "" and var.admitted or "other"
    counts:incr("n," .. (var.app ~= "" and var.app or "none") .. "," .. work .. "," .. ngx.status, 1, 0)
    if work == "refused" or work == "wait" then
        return -- answered at once, or when there is news
    end
    local took = tonumber(var.request_time) or 0
    local place = #bounds + 1
    for i, bound in ipairs(bounds) do
        if took <= bound then
            place = i
            break
        end
    end
    counts:incr("b," .. work .. "," .. place, 1, 0)
    counts:incr("s," .. work, took, 0)
end

-- tell writes them in Prometheus' text format.
function M.tell()
    ngx.header["Content-Type"] = "text/plain; version=0.0.4"
    local works = {}
    ngx.say("# TYPE gateway_requests_total counter")
    for _, key in ipairs(counts:get_keys(0)) do
        local app, work, status = key:match("^n,([^,]+),([^,]+),(%d+)$")
        if app then
            ngx.say('gateway_requests_total{service="', app, '",work="', work, '",status="', status, '"} ', counts:get(key))
        end
        work = key:match("^s,([^,]+)$")
        if work then
            table.insert(works, work)
        end
    end
    ngx.say("# TYPE gateway_request_seconds histogram")
    for _, work in ipairs(works) do
        local sum = 0
        for place = 1, #bounds + 1 do
            sum = sum + (counts:get("b," .. work .. "," .. place) or 0)
            ngx.say('gateway_request_seconds_bucket{work="', work, '",le="', bounds[place] or "+Inf", '"} ', sum)
        end
        ngx.say('gateway_request_seconds_sum{work="', work, '"} ', counts:get("s," .. work))
        ngx.say('gateway_request_seconds_count{work="', work, '"} ', sum)
    end
    ngx.say("# TYPE gateway_in_hand gauge")
    for _, address in ipairs(ngx.shared.edges:get_keys(0)) do
        ngx.say('gateway_in_hand{edge="', address, '"} ', ngx.shared.edges:get(address))
    end
    ngx.say("# TYPE nginx_connections gauge")
    for _, state in ipairs { "active", "reading", "writing", "waiting" } do
        ngx.say('nginx_connections{state="', state, '"} ', ngx.var["connections_" .. state])
    end
end

return M
