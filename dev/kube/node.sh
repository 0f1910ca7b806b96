#!/usr/bin/env bash
# The machine that the node takes itself for: namespaces of its own and a Debian root. Of the host it changes nothing but that
# there is a control group stampede-kube-… in each hierarchy, which dev/kube removes.
#
#	node.sh STATE GROUP ROOT FOLDER… -- COMMAND…    runs COMMAND there until it is killed; STATE and each FOLDER are where they are here
set -euo pipefail
state=$1 group=$2 root=$3
shift 3
hierarchies=$(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2, $3, $4 }' /proc/mounts) # of control groups: place, version, options

if [ "$1" != --inside ]; then
	while read -r at _; do
		mkdir -p "$at/$group"
		# Of a node that was killed: its kubelet would look at each, 3 s long, before it starts anything.
		find "$at/$group" -mindepth 1 -depth -type d -exec rmdir --ignore-fail-on-non-empty {} +
		if [ -e "$at/$group/cpuset.cpus" ]; then # begins with none
			cat "$at/cpuset.cpus" > "$at/$group/cpuset.cpus"
			cat "$at/cpuset.mems" > "$at/$group/cpuset.mems"
		fi
		echo $$ > "$at/$group/cgroup.procs"
	done <<< "$hierarchies"
	exec unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child -- bash "$0" "$state" "$group" "$root" --inside "$@"
fi
shift

# ---- inside: the root and /proc are still the host's -----------------------------------------------------
read -r pid _ < /proc/self/stat # as the host counts
hostname stampede
mount --make-rprivate /
mkdir -p "$state"/{upper,work,root,etcd,containerd,kubelet,volumes,sysctl}
chmod 700 "$state/etcd"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$state/upper,workdir=$state/work" "$state/root"
cd "$state/root"
mkdir -p dev proc sys run tmp .old
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
while read -r at kind options; do
	mkdir "sys/fs/cgroup/${at##*/}"
	options=$(tr , '\n' <<< "$options" | grep -vxE 'r[ow]|relatime|nosuid|nodev|noexec|xattr' | paste -sd, || true)
	mount -t "$kind" ${options:+-o "$options"} "$kind" "sys/fs/cgroup/${at##*/}" # the group is the whole here
done <<< "$hierarchies"
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
while [ "$1" != -- ]; do
	mkdir -p ".$1"
	mount --bind "$1" ".$1"
	shift
done
shift
for dir in etcd containerd kubelet volumes; do # no overlay: containers have some of their own
	mkdir -p "var/lib/$dir"
	mount --bind "$state/$dir" "var/lib/$dir"
done
mkdir -p ".$state"
mount --bind "$state" ".$state"
# The kubelet wants these to be so, and they are the whole machine's: it finds them so.
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
	file=$state/sysctl/$(basename "${setting%=*}")
	echo "${setting#*=}" > "$file"
	mount --bind "$file" "proc/sys/${setting%=*}"
done
pivot_root . .old
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TZ=UTC
umount -l /.old
mount --make-rshared /
# Both ends of the pair are the node's own: an address that is always up.
ip link set lo up
ip link add node0 type veth peer name node1
ip address add 10.213.0.1/24 dev node0
ip link set node0 up
ip link set node1 up
ip route add default via 10.213.0.2 # nobody: the cluster reaches nothing outside
echo 1 > /proc/sys/net/ipv4/ip_forward
echo "nameserver 10.213.0.1" > /etc/resolv.conf
printf '127.0.0.1 localhost\n10.213.0.1 stampede\n' > /etc/hosts
echo "$pid" > "$state/init.pid"
exec tini -- "$@"
