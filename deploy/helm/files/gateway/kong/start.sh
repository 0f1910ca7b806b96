#!/bin/sh
# Starts Kong in its image. Kong itself would start without these, and then answer 503 to everybody, or count nobody.
set -eu
: "${DAPR_API_TOKEN:?the sidecars ask for it}"
: "${DROPS_KEY:?tickets of drops are checked by it}"
: "${REDIS_PASSWORD:?without it no limit is kept}"
: "${ALLOWED_ORIGINS:?the origins that may read answers in a browser, with spaces between}"
[ "${#DROPS_KEY}" -ge 32 ] || { echo "start.sh: DROPS_KEY: 32 characters or more" >&2; exit 1; }
exec /docker-entrypoint.sh kong docker-start
