"""What the store does in one step, as Lua for the server.

A template is one hash: its wrapped data key (`key`), the template (`sealed`) and what it was made of (`material`), both
under that key, the names of its entries in the index of sets (`index`) and of subjects (`subject`, or empty), and
`layout`. Erasing leaves `layout` as the tombstone: that takes no memory, so it also works on a full server.
"""

FIND = """
local id = redis.call('GET', KEYS[1])
if id then
  local found = redis.call('HMGET', ARGV[1] .. id, 'key', 'sealed')
  if found[2] then return {id, found[1], found[2]} end
end
if not KEYS[2] then return false end
if redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3], 'NX') or redis.call('GET', KEYS[2]) == ARGV[2] then return 1 end
return 0
"""
"""KEYS: set index entry, claim where one is to be taken. ARGV: prefix of template names; value and life (ms) of the
claim. Answers id, key and template; where there are none, whether the claim is the caller's (a command that is sent
twice finds its own)."""

# The first live template of a set stays; an entry whose template is gone (expired, erased) is replaced. The claim goes
# last: a full server refuses the first thing that takes memory, unless something was changed before it.
PUT = """
local id = redis.call('GET', KEYS[1])
if id then
  local kept = redis.call('HMGET', ARGV[1] .. id, 'key', 'sealed')
  if kept[2] then
    redis.call('DEL', KEYS[3])
    return {id, kept[1], kept[2]}
  end
end
redis.call('HSET', KEYS[2], 'key', ARGV[4], 'sealed', ARGV[5], 'material', ARGV[6],
           'index', KEYS[1], 'subject', KEYS[4] or '', 'layout', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[3])
if KEYS[4] then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  redis.call('ZADD', KEYS[4], now + ARGV[3], ARGV[2])
  redis.call('PEXPIRE', KEYS[4], ARGV[3])
end
return false
"""
"""KEYS: set index entry, template, claim, subject index where there is a subject. ARGV: prefix of template names, id,
life (ms), key, template, material, layout. Answers the template that is kept already: id, key, template."""

ERASE = """
if redis.call('HEXISTS', KEYS[1], 'sealed') == 0 then return 0 end
local names = redis.call('HMGET', KEYS[1], 'index', 'subject')
if redis.call('GET', names[1]) == ARGV[1] then redis.call('DEL', names[1]) end
if names[2] ~= '' then redis.call('ZREM', names[2], ARGV[1]) end
redis.call('HDEL', KEYS[1], 'key', 'sealed', 'material', 'index', 'subject')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
"""
"""KEYS: template, then what goes with it (failed verifications, cached embeddings of its samples). ARGV: id, life of
the tombstone (ms)."""

LIST = """
local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. (time[1] * 1000), '+inf')
"""
"""KEYS: subject index. Answers ids, the one that expires first first."""


REPLACE = """
local kept = redis.call('HMGET', KEYS[1], 'sealed', 'index')
if kept[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'index', KEYS[2])
if redis.call('GET', kept[2]) == ARGV[3] then redis.call('DEL', kept[2]) end
redis.call('SET', KEYS[2], ARGV[3], 'PX', redis.call('PTTL', KEYS[1]), 'NX')
return 1
"""
"""KEYS: template, its new set index entry. ARGV: template as it was read, new template, id."""

EXPIRE = """
local kept = redis.call('HMGET', KEYS[1], 'sealed', 'index', 'subject')
if kept[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('GET', kept[2]) == ARGV[4] then redis.call('PEXPIRE', kept[2], ARGV[3]) end
if kept[3] ~= '' then
  local time = redis.call('TIME')
  redis.call('ZADD', kept[3], 'XX', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[4])
end
return 1
"""
"""KEYS: template. ARGV: template as it was read, the same with its new end, what is left of its life (ms), id."""

CLAIM_MARK = "claim:"
"""What the value of a claim begins with where the outcome will take its place."""

# The first answer stays; a claim, whosever it is by now, gives way.
KEEP = f"""
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, {len(CLAIM_MARK)}) ~= '{CLAIM_MARK}' then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
"""
"""KEYS: answer. ARGV: the answer, life (ms). Answers the one that is kept already."""

RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""KEYS: claim. ARGV: its value, life (ms)."""

DROP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
"""KEYS: claim. ARGV: its value."""

TAKE = """
local wait = 0
for _, name in ipairs(KEYS) do
  if tonumber(redis.call('GET', name) or '0') + ARGV[1] > tonumber(ARGV[2]) then
    wait = math.max(wait, 1, redis.call('PTTL', name))
  end
end
if wait > 0 then return wait end
for _, name in ipairs(KEYS) do
  if redis.call('INCRBY', name, ARGV[1]) == tonumber(ARGV[1]) then redis.call('PEXPIRE', name, ARGV[3]) end
end
return 0
"""
"""KEYS: budgets, all or none of which are used. ARGV: amount, limit, life (ms). Answers 0, or how long to wait (ms)."""

_LOOK_AT_FAILURES = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local delay_after, delay, lock_after = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wait = 0
for _, name in ipairs(KEYS) do
  local kept = redis.call('HMGET', name, 'failed', 'last')
  local failed = tonumber(kept[1] or '0')
  if lock_after > 0 and failed >= lock_after then return -1 end
  if delay_after > 0 and failed >= delay_after then
    wait = math.max(wait, tonumber(kept[2]) + delay - now)
  end
end
if wait > 0 then return wait end
"""

MAY_VERIFY = f"""{_LOOK_AT_FAILURES}
return 0
"""
"""KEYS: failures of templates. ARGV: failures before a delay, the delay (ms), failures before the lock. Answers 0 where
they may be verified, -1 where one is locked, else how long to wait (ms)."""

SETTLE_VERIFICATION = f"""{_LOOK_AT_FAILURES}
for _, name in ipairs(KEYS) do
  if ARGV[6] == '1' then
    if redis.call('EXISTS', name) == 1 then redis.call('DEL', name) end
  else
    local failed = redis.call('HINCRBY', name, 'failed', 1)
    redis.call('HSET', name, 'last', now)
    redis.call('PEXPIRE', name, lock_after > 0 and failed >= lock_after and ARGV[5] or ARGV[4])
  end
end
return 0
"""
"""KEYS and ARGV as above, then: when failures are forgotten (ms), the life of a lock (ms), 1 for a match, which ends a
row of failures. Answers as above: what others found meanwhile may have taken the right to this answer."""

REWRAP = """
if redis.call('HGET', KEYS[1], 'key') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'key', ARGV[2])
local old = redis.call('HGET', KEYS[1], 'subject')
if KEYS[2] and old ~= KEYS[2] then
  redis.call('ZADD', KEYS[2], redis.call('ZSCORE', old, ARGV[3]), ARGV[3])
  redis.call('PEXPIRE', KEYS[2], math.max(redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[2])))
  redis.call('ZREM', old, ARGV[3])
  redis.call('HSET', KEYS[1], 'subject', KEYS[2])
end
return 1
"""
"""KEYS: template, its subject index under the new key where it has a subject. ARGV: wrapped data key as it was read,
the same under the new key, id."""
