# Run inside the Debian root: what the node runs on, and the servers whose images cannot be had here. Nothing starts.
set -eu
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/unsafe # what is half-made is thrown away
mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/no.conf
# Before its package comes: initdb wants a name for the number that the image's user has.
groupadd -g 999 postgres
useradd -u 999 -g 999 -d /var/lib/postgresql postgres
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends \
	tini iproute2 procps mount nftables etcd-server containerd runc containernetworking-plugins \
	tzdata postgresql postgresql-contrib redis-server rabbitmq-server nodejs openjdk-21-jre-headless \
	nginx libnginx-mod-http-lua gettext-base wget
echo '[rabbitmq_management,rabbitmq_prometheus].' > /etc/rabbitmq/enabled_plugins
cat > /etc/rabbitmq/rabbitmq.conf <<'CONF'
default_user = $(RABBITMQ_DEFAULT_USER)
default_pass = $(RABBITMQ_DEFAULT_PASS)
log.console = true
log.file = false
loopback_users = none
CONF
mkdir -p /etc/rabbitmq/conf.d
chmod -R a+rX /etc/rabbitmq
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/lib/rabbitmq/.erlang.cookie
