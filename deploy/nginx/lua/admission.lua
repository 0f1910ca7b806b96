-- Admission before work: how much the shop takes in hand at once. What is let in is answered soon, and the rest is
-- refused while that costs nothing. Pure: it knows neither Nginx nor a clock. Each worker keeps one, with no memory that
-- is shared: all of them feel the same answers grow slow, and one that dies takes its counts along.
local M = {}
M.__index = M

-- What a request of a class costs beside a browser's, which part of the bound the class may fill, with all that is
-- in hand, and in how many seconds it should be answered. Browsing is refused first, checkout last.
M.classes = {
    browse = { weight = 1, share = 0.5, target = 0.25 },
    login = { weight = 16, share = 0.65, target = 1 },
    cart = { weight = 4, share = 0.65, target = 0.25 },
    checkout = { weight = 10, share = 1, target = 0.5 },
    drop = { weight = 4, share = math.huge, target = 1 }, -- never refused: the others make room
}

-- Bounds, in weights. least is what a few people bring at once: five logins, or ten checkouts. It is no crowd however
-- slowly they are answered, and refusing them makes nothing faster.
local least, most = 100, 20000
local waiting = 512 -- those who wait for news are only counted: they hold a connection, no work
local gain, memory = 0.5, 0.2
local fresh = 2 -- seconds for which a class's answers count after the last one

-- new gives an admission with nothing in hand.
function M.new()
    local a = { bound = least, used = 0, waiting = 0, pace = {}, at = {} }
    return setmetatable(a, M)
end

-- full says whether there is no room for one more.
function M:full(class)
    if class == "wait" then
        return self.waiting >= waiting
    end
    return self.used >= self.bound * M.classes[class].share
end

-- enter takes a request in hand, or says false.
function M:enter(class)
    if self:full(class) then
        return false
    end
    if class == "wait" then
        self.waiting = self.waiting + 1
    else
        self.used = self.used + M.classes[class].weight
    end
    return true
end

-- leave puts down what enter took. took is how many seconds the answer came in, nil when nobody was asked. The bound
-- follows the class that is furthest behind its target: while the bound is in use it grows if that is early, and
-- shrinks if it is late.
function M:leave(class, now, took)
    if class == "wait" then
        self.waiting = self.waiting - 1
        return
    end
    local c = M.classes[class]
    local busy = self.used > self.bound * c.share / 2
    self.used = self.used - c.weight
    if not took then
        return
    end
    local pace = self.pace[class] or 0
    self.pace[class] = pace + memory * (math.min(took / c.target, 4) - pace)
    self.at[class] = now
    local worst = 0
    for name, at in pairs(self.at) do
        if now - at < fresh then
            worst = math.max(worst, self.pace[name])
        end
    end
    if busy then
        local step = gain * c.weight * (1 - worst)
        self.bound = math.max(least, math.min(most, self.bound + step))
    end
end

return M
