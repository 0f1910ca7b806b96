-- SHA-256, HMAC-SHA256 and a comparison whose time says nothing: libcrypto's, which Nginx has in it for TLS, Debian's and
-- Kong's alike. Neither has a Lua library of these that the other has, too.
local M = {}

local ffi = require("ffi")

-- Under names of our own: Kong's libraries declare the same functions, with other types.
ffi.cdef [[
unsigned char *stampede_sha256(const char *text, size_t length, unsigned char *sum) __asm__("SHA256");
const void *stampede_evp_sha256(void) __asm__("EVP_sha256");
unsigned char *stampede_hmac(const void *hash, const char *key, int key_length, const char *text, size_t length,
    unsigned char *sum, unsigned int *sum_length) __asm__("HMAC");
int stampede_differ(const char *a, const char *b, size_t length) __asm__("CRYPTO_memcmp");
]]

local C = ffi.C
local sum = ffi.new("unsigned char[32]")
local algorithm = C.stampede_evp_sha256()

-- sha256 gives 32 bytes.
function M.sha256(text)
    assert(C.stampede_sha256(text, #text, sum) ~= nil)
    return ffi.string(sum, 32)
end

-- hmac gives 32 bytes, by SHA-256.
function M.hmac(key, text)
    assert(C.stampede_hmac(algorithm, key, #key, text, #text, sum, nil) ~= nil)
    return ffi.string(sum, 32)
end

-- equal compares a secret with what somebody says it is.
function M.equal(a, b)
    return #a == #b and C.stampede_differ(a, b, #a) == 0
end

return M
