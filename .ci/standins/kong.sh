#!/bin/sh
# Stands in for Kong with the developer's gateway: `kong docker-start` serves, `kong health` says whether it does.
set -eu
case "$*" in
health) exec wget -q -O /dev/null http://127.0.0.1:8100/metrics ;;
"kong docker-start") ;;
*) echo "this stand-in knows nothing of: $*" >&2; exit 2 ;;
esac
run=$KONG_PREFIX
mkdir -p "$run"
cp -r /opt/gateway/. "$run/"
cp -r /opt/stampede/nginx/html /opt/stampede/nginx/lua "$run/"
export RUN_DIR="$run" LISTEN_GATEWAY=0.0.0.0:8010
export RATE_TOKEN="${RATE_TOKEN:-600}" RATE_ADDRESS="${RATE_ADDRESS:-300}" RATE_LOGIN="${RATE_LOGIN:-20}" # of kong.yml
for file in common.conf gateway.conf.template; do
	envsubst '${RUN_DIR} ${LISTEN_GATEWAY} ${ALLOWED_ORIGINS} ${RATE_TOKEN} ${RATE_ADDRESS} ${RATE_LOGIN}' < "/opt/gateway/$file" |
		sed 's|set_real_ip_from 127.0.0.1;|set_real_ip_from 0.0.0.0/0;|' > "$run/${file%.template}" # KONG_TRUSTED_IPS
done
ln -sf /dev/stdout "$run/gateway.log"
# Its balancer wants addresses: those of now, looked up again every second.
look() {
	for edge in edge:3511 edge-auth:3512 edge-admin:3513; do
		address=$(getent ahostsv4 "${edge%:*}" | head -1 | cut -d' ' -f1)
		echo "${edge%:*} ${address:-0.0.0.1}:${edge#*:}"
	done > "$run/edges.new"
	printf 'DAPR_API_TOKEN %s\nDROPS_KEY %s\n' "$DAPR_API_TOKEN" "$DROPS_KEY" >> "$run/edges.new"
	mv "$run/edges.new" "$run/edges.list"
}
look
while sleep 1; do look; done &
cat > "$run/nginx.conf" <<CONF
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off;
pid $run/nginx.pid;
error_log stderr error;
worker_processes 2;
events { worker_connections 4096; }
http {
    include /etc/nginx/mime.types;
    include common.conf;
    access_log off;
    client_body_temp_path $run/tmp-body;
    proxy_temp_path $run/tmp-proxy;
    fastcgi_temp_path $run/tmp-unused;
    uwsgi_temp_path $run/tmp-unused;
    scgi_temp_path $run/tmp-unused;
    include gateway.conf;
    server {
        listen 0.0.0.0:8100;
        include keys-gateway.conf;
        location = /status { return 204; }
        location = /status/ready { return 204; }
    }
}
CONF
exec nginx -p "$run" -c "$run/nginx.conf" -e stderr
