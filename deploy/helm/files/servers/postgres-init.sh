#!/bin/bash
# Run once by the postgres image, when its volume is empty: one role and one database a
# service, as dev/infra/postgres.go makes them. A role may connect to its own database only.
set -euo pipefail

sql() { psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" "$@"; }

sql --dbname postgres <<<'REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;'
for name in $DATABASES; do
  variable="${name^^}_DATABASE_PASSWORD"
  password="${!variable:?}"
  sql --dbname postgres --set name="$name" --set password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
# What only a superuser should add: the catalogue's search.
sql --dbname products <<<'CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent;'
