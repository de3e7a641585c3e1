-- The job of the module, written for OpenResty: what the benchmark compares
-- with.  Written as one would who cares for speed: locals, JIT-compiled
-- expressions, one look-up for each event, parallel subrequests.

local cjson = require "cjson.safe"

local ngx = ngx
local find = ngx.re.find
local concat = table.concat
local decode = cjson.decode
local encode = cjson.encode
local capture_multi = ngx.location.capture_multi

local _M = {}

local WINDOW = 26 * 3600
local CLAIM = 30

local CLAIMED = 1
local DELIVERED = 2

local routes = {
    { source = "^conversation:", key = "region", value = "us-east-1",
      destination = "/to/a" },
    { source = "^interaction:", key = "priority", value = "high",
      destination = "/to/b" },
    { source = "^(presence|routing):", key = "region", value = "eu-west-1",
      destination = "/to/c" },
    { source = "^analytics:[a-z]+:summary$", key = "priority",
      value = "low", destination = "/to/d" },
}

local audit


local function route(event)
    local source = event.source or ""
    local metadata = event.metadata or {}

    for i = 1, #routes do
        local r = routes[i]

        if metadata[r.key] == r.value and find(source, r.source, "jo") then
            return r.destination
        end
    end
end


local function answer(status, body)
    local text = encode(body)

    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #text
    ngx.print(text)
    return ngx.exit(status)
end


function _M.open_audit(file)
    audit = assert(io.open(file, "a"))
    audit:setvbuf("full", 65536)
end


function _M.ingest()
    ngx.req.read_body()

    local body = ngx.req.get_body_data()

    if not body then
        return answer(400, { error = "empty_body" })
    end

    local batch = decode(body)

    if type(batch) ~= "table" or type(batch.events) ~= "table" then
        return answer(400, { error = "not_a_batch" })
    end

    local seen = ngx.shared.seen
    local counters = ngx.shared.counters
    local scope = ngx.var.uri .. "\0"
    local events = batch.events
    local groups, order = {}, {}
    local keys, actions = {}, {}
    local forwarded, duplicates, dropped, busy, failed = 0, 0, 0, 0, 0

    for i = 1, #events do
        local event = events[i]
        local destination = route(event)

        if not destination then
            dropped = dropped + 1
            actions[i] = "dropped"

        else
            local key = scope .. event.source .. "\0" .. event.id
            local ok = seen:add(key, CLAIMED, CLAIM)

            if ok then
                local group = groups[destination]

                if not group then
                    group = { uri = destination, events = {}, index = {} }
                    groups[destination] = group
                    order[#order + 1] = group
                end

                local n = #group.events + 1
                group.events[n] = event
                group.index[n] = i
                keys[i] = key

            elseif seen:get(key) == DELIVERED then
                duplicates = duplicates + 1
                actions[i] = "duplicate"

            else
                busy = busy + 1
                actions[i] = "busy"
            end
        end
    end

    if #order > 0 then
        local requests = {}

        for g = 1, #order do
            requests[g] = { order[g].uri,
                            { method = ngx.HTTP_POST,
                              body = encode({ events = order[g].events }) } }
        end

        local answers = { capture_multi(requests) }

        for g = 1, #order do
            local group = order[g]
            local status = answers[g].status
            local ok = status >= 200 and status <= 205

            for n = 1, #group.index do
                local i = group.index[n]

                if ok then
                    seen:set(keys[i], DELIVERED, WINDOW)
                    forwarded = forwarded + 1
                    actions[i] = "forwarded"

                else
                    seen:delete(keys[i])
                    failed = failed + 1
                    actions[i] = "failed"
                end
            end

            counters:incr(group.uri, #group.index, 0)
        end
    end

    counters:incr("received", #events, 0)
    counters:incr("forwarded", forwarded, 0)
    counters:incr("duplicates", duplicates, 0)
    counters:incr("dropped", dropped, 0)

    if ngx.var.audited == "1" then
        local time = ngx.utctime()
        local lines = {}

        for i = 1, #events do
            local event = events[i]

            lines[i] = concat({ '{"timestamp":"', time, '","eventId":',
                                encode(event.id), ',"source":',
                                encode(event.source), ',"action":"',
                                actions[i], '","region":',
                                encode(event.metadata
                                       and event.metadata.region), "}\n" })
        end

        audit:write(concat(lines))
    end

    if failed + busy > 0 then
        ngx.header["Retry-After"] = 1
        return answer(503, { error = "delivery_failed", failed = failed,
                             busy = busy })
    end

    return answer(200, { status = "accepted", received = #events,
                         forwarded = forwarded, duplicates = duplicates,
                         dropped = dropped })
end


return _M
