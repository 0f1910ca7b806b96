-- Tickets of drops, checked before anything behind the gateway sees a claim: whose drop a ticket is of, whether it is
-- over, was shown a moment ago, and is called. Refusing costs a hash or two. What is unclear is refused; whose ticket it is
-- and which of the drop's lots is claimed, the service checks. drop/ticket.go and drop/shuffle.go are the same in Go, and
-- drop/testdata holds both to it.
local M = {}

local hash = require("hash")
local statuses = require("statuses")
local base64 = require("ngx.base64")

local floor = math.floor

local longest = 1000 -- characters of a ticket
local pause = 2 -- seconds between two claims with the tickets of one entry
local most = 2 ^ 40 -- entries whose positions can be computed here: beyond it numbers are not exact

local extracted = {}
local derived = {} -- keys by drop, of those that signed a ticket: made-up names fill nothing

-- init takes the setting from which the drops' keys are derived (several with commas between, all are believed). It may be
-- called again.
function M.init(key)
    local all = {}
    for setting in (key .. ","):gmatch("(.-),") do
        assert(#setting >= 32, "DROPS_KEY has less than 32 characters")
        table.insert(all, hash.hmac(("\0"):rep(32), setting)) -- HKDF's first step (RFC 5869), without a salt
    end
    extracted, derived = all, {}
end

-- signed says whether a ticket of a drop has been signed with one of the keys.
local function signed(body, mac, drop)
    local function by(key)
        return hash.equal(mac, base64.encode_base64url(hash.hmac(key, body)))
    end
    if derived[drop] and by(derived[drop]) then
        return true
    end
    for _, of in ipairs(extracted) do
        local key = hash.hmac(of, "stampede ticket " .. drop .. "\1")
        if by(key) then
            derived[drop] = key
            return true
        end
    end
    return false
end

-- read gives the entry of a drop's ticket and its place in the log of entries, or nothing: it is forged, another drop's or
-- over. What is signed was written by drop/ticket.go, so its fields are found without a parser.
function M.read(text, drop, now)
    local body, mac = text:match("^([%w_-]+)%.([%w_-]+)$")
    if not body or #text > longest or not signed(body, mac, drop) then
        return
    end
    local ticket = base64.decode_base64url(body) or ""
    local entry, idx, over = ticket:match('"entry":"([%w-]+)"'), ticket:match('"idx":(%d+)'), ticket:match('"exp":(%d+)')
    if ticket:match('"drop":"([%w-]+)"') == drop and entry and idx and over and now < tonumber(over) then
        return entry, tonumber(idx)
    end
end

-- position gives the place in the order of the entry that came as number idx of n, both from 0: Ethereum's swap-or-not
-- shuffle, 90 rounds.
function M.position(idx, n, seed)
    for round = 0, 89 do
        local of = seed .. string.char(round)
        local sum, pivot = hash.sha256(of), 0
        for i = 8, 1, -1 do -- little-endian; in doubles, the remainder of each step instead of that of 64 bits
            pivot = (pivot * 256 + sum:byte(i)) % n
        end
        local mirror = (pivot + n - idx) % n
        local higher = math.max(idx, mirror)
        local block = floor(higher / 256)
        local coins = hash.sha256(of .. string.char(block % 256, floor(block / 2 ^ 8) % 256, floor(block / 2 ^ 16) % 256,
            floor(block / 2 ^ 24) % 256))
        if floor(coins:byte(floor(higher % 256 / 8) + 1) / 2 ^ (higher % 8)) % 2 == 1 then
            idx = mirror
        end
    end
    return idx
end

-- called says whether an entry is, by a drop's status document: nil when that cannot be told. known is the entry's position
-- if it was computed before; the position comes back. In a JSON string a quote has a backslash before it, so '"called":'
-- is never part of one.
function M.called(status, idx, known)
    local furthest
    for number in status:gmatch('"called":(%d+)') do
        furthest = math.max(furthest or 0, tonumber(number))
    end
    if not furthest then
        return nil
    end
    local n, seed = status:match('"n":(%d+)'), status:match('"seed":"(%x+)"')
    n = n and tonumber(n)
    if not n then
        return false -- the order is not drawn
    elseif known or idx >= n then
        known = known or idx -- who entered after the draw stands behind
    elseif not seed then
        return false
    elseif n > most or #seed ~= 64 then
        return nil
    else
        known = M.position(idx, n, (seed:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)))
    end
    return known < furthest, known
end

-- check looks at the ticket of a claim at a path .../<drop>/<word>. app and sidecar are as statuses.of takes them. It comes
-- back with nothing, or with why the claim is refused: ticket-invalid, too-often, not-called, or unclear. When nobody answers
-- for the drop's status the last one counts on: calls never fall.
function M.check(path, text, app, sidecar)
    local above, drop = statuses.split(path)
    if not drop or not text then
        return "ticket-invalid"
    end
    local store, again = ngx.shared.tickets, "again," .. drop .. text:sub(-43)
    if store:get(again) then -- its signature was right a moment ago
        return "too-often"
    end
    local entry, idx = M.read(text, drop, ngx.time())
    if not entry then
        return "ticket-invalid"
    end
    store:set(again, true, pause)
    if not store:add("shown," .. entry, true, pause) then
        return "too-often"
    end
    local known = store:get("position," .. entry)
    local is, position = M.called(statuses.of(above, drop, app, sidecar) or "", idx, known)
    if position and not known then
        store:set("position," .. entry, position)
    end
    if is == nil then
        return "unclear"
    end
    return not is and "not-called" or nil
end

return M
