#!/bin/sh
# Starts Nginx as its image does: what lies in /docker-entrypoint.d, then the templates.
set -eu
for file in /docker-entrypoint.d/*.sh; do "$file"; done
names=$(env | cut -d= -f1 | grep -E "$NGINX_ENVSUBST_FILTER" | sed 's/.*/${&}/' | tr '\n' ' ')
mkdir -p "$NGINX_ENVSUBST_OUTPUT_DIR"
for file in /etc/nginx/templates/*.template; do
	envsubst "$names" < "$file" > "$NGINX_ENVSUBST_OUTPUT_DIR/$(basename "$file" .template)"
done
exec "$@"
