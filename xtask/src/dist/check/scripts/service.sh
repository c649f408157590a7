#!/bin/sh
# The service of the Debian package under a real systemd, which boots in a container: `sh service.sh ROOT PACKAGE GUIDE
# PLAYBOOKS PYTHON`, in mount, network and process namespaces of its own. The guide is a file of commands, those of
# docs/getting-started.md; the Python has Ansible. Says what it does, and fails at the first thing that is not as it should
# be.
set -eu

root=$1
package=$2
guide=$3
playbooks=$4
python=$5
scripts=$(dirname "$0")
traffic=$scripts/traffic.py

say() { echo "service: $*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

rm -rf "$root/etc/geofence" "$root/var/lib/geofence" "$root"/root/geofence_* "$root"/steps
chroot "$root" dpkg --purge geofence >/dev/null 2>&1 || true
mkdir -p "$root/steps"
cp "$package" "$root/root/"
cp "$guide" "$root/steps/guide"
cp "$traffic" "$root/steps/traffic.py"
cp "$scripts/service_steps.sh" "$root/steps/steps.sh"
cp -R "$playbooks" "$root/steps/ansible"
# Ansible is at a place of its own there; the Python that it is made for is where it is here, unless Debian's is meant.
tools=$(dirname "$(dirname "$python")")
base=$("$python" -c 'import sys; print(sys.base_prefix)')
binds="--bind-ro=$tools:/opt/ansible"
if [ -z "$(ls -A "$root$base" 2>/dev/null)" ]; then
    binds="$binds --bind-ro=$base"
fi
cat /proc/sys/kernel/random/uuid | tr -d - >"$root/etc/machine-id"

# The same package under a higher version, for the upgrade.
rm -rf "$root/steps/next"
dpkg-deb --raw-extract "$package" "$root/steps/next"
sed -i 's/^Version: \(.*\)$/Version: \1.1/' "$root/steps/next/DEBIAN/control"
dpkg-deb --root-owner-group -Znone --build "$root/steps/next" "$root/steps/next.deb" >/dev/null
rm -rf "$root/steps/next"

mount --make-rprivate /
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/geofence-service
ip link set lo up
ip link add eth0 type veth peer name peer0
ip address add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip link set peer0 up
ip route add default dev eth0
# Not from /sys, which may show the interfaces of another namespace.
mac=$(ip -oneline link show eth0 | sed 's/.*link.ether \([^ ]*\) .*/\1/')

# Boots the root; systemd runs the named steps, powers off, and leaves a line `ok` if none failed.
boot() {
    mount -t bpf bpf /sys/fs/bpf
    sed "s/@STEPS@/$1/" >"$root/etc/systemd/system/geofence-steps.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=300
ExecStart=/bin/sh -eu /steps/steps.sh @STEPS@
ExecStopPost=/usr/bin/systemctl --no-block poweroff
StandardOutput=append:/steps/log
StandardError=append:/steps/log
[Install]
WantedBy=graphical.target
UNIT
    # Listens as early as a service that waits for the network may.
    cat >"$root/etc/systemd/system/geofence-witness.service" <<'UNIT'
[Unit]
DefaultDependencies=no
Wants=network-pre.target
After=network-pre.target
[Service]
ExecStart=/usr/bin/python3 /steps/traffic.py count /steps/counts 15
[Install]
WantedBy=sysinit.target
UNIT
    ln -sf /lib/systemd/system/graphical.target "$root/etc/systemd/system/default.target"
    mkdir -p "$root/etc/systemd/system/graphical.target.wants" "$root/etc/systemd/system/sysinit.target.wants"
    ln -sf ../geofence-steps.service "$root/etc/systemd/system/graphical.target.wants/"
    if [ "$1" = boot ]; then
        ln -sf ../geofence-witness.service "$root/etc/systemd/system/sysinit.target.wants/"
        python3 "$traffic" send peer0 "$mac" 20 >"$root/steps/sent" &
    fi
    : >"$root/steps/log"
    (
        echo $$ >/sys/fs/cgroup/geofence-service/cgroup.procs
        export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
        # The words of $binds are meant to be several.
        exec timeout 300 systemd-nspawn --quiet --directory="$root" --keep-unit --register=no --capability=all \
            --system-call-filter="bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self" --bind=/sys/fs/bpf \
            $binds --console=pipe --boot </dev/null >"$root/steps/console" 2>&1
    ) || true
    rm -f "$root/etc/systemd/system/sysinit.target.wants/geofence-witness.service"
    sed 's/^/    /' "$root/steps/log" >&2
    # The last reference goes with the mount, as in a reboot.
    umount /sys/fs/bpf
    [ "$(tail -n 1 "$root/steps/log")" = ok ] || { tail -n 20 "$root/steps/console" >&2; fail "the steps of $1"; }
}

say "following the guide"
boot guide
ip -details link show eth0 | grep -q 'prog/xdp' && fail "the filter outlived its pins"

say "booting with the service enabled, under traffic"
boot boot
wait
cat "$root/steps/sent" >&2
read -r blocked open <"$root/steps/counts"
say "from the boot on, the socket saw $blocked datagrams of a blocked country and $open of another"
[ "$blocked" = 0 ] || fail "datagrams of a blocked country reached the socket"
[ "$open" -gt 0 ] || fail "no datagram reached the socket, so the count says nothing"

say "upgrading under a flood"
boot upgrade
read -r blocked open <"$root/steps/counts"
say "during the upgrade, the socket saw $blocked datagrams of a blocked country and $open of another"
[ "$blocked" = 0 ] || fail "datagrams of a blocked country reached the socket"
[ "$open" -gt 0 ] || fail "no datagram reached the socket, so the count says nothing"

say "the Ansible role, with the service"
boot ansible
ip -details link show eth0 | grep -q 'prog/xdp' && fail "the filter outlived its pins"
say "done"
