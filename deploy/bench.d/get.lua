-- wrk: GET of random users. `wrk … -s get.lua URL -- IDS TOKEN`: a file of ids, and a file with the token.
-- The requests are made beforehand, so that the load generator spends its time on the wire.
local requests = {}

function init(args)
    local headers = { Authorization = "Bearer " .. io.open(args[2]):read("l") }
    for id in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("GET", "/identity/v1/user/" .. id, headers)
    end
    math.randomseed(tonumber(tostring(requests):match("0x(%x+)"), 16) % 2147483647)
end

function request()
    return requests[math.random(#requests)]
end
