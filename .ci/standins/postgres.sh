#!/bin/bash
# Starts PostgreSQL as its image does: prepares an empty volume first, on the socket alone.
set -euo pipefail
[[ ${1:-} != -* ]] || set -- postgres "$@"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	# shellcheck disable=SC2086 # a word each
	initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") $POSTGRES_INITDB_ARGS
	printf 'host all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
	export PGPASSWORD=$POSTGRES_PASSWORD
	pg_ctl -D "$PGDATA" -w -o "${*:2} -c listen_addresses=''" start
	for file in /docker-entrypoint-initdb.d/*.sh; do bash "$file"; done
	pg_ctl -D "$PGDATA" -w stop
	unset PGPASSWORD
fi
exec "$@" -D "$PGDATA"
