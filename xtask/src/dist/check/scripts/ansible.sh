#!/bin/sh
# The Ansible role against a copy of this machine's root, which ends with the script: `sh ansible.sh PLAYBOOKS PACKAGE
# PYTHON SCRATCH`, in mount and network namespaces of its own. What is written goes to an overlay. Ansible works on the
# copy as on the machine it runs on, because the connection to it is local. No service runs in it; service.sh has one.
set -eu

playbooks=$1
package=$2
python=$3
scratch=$4

say() { echo "ansible: $*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

mount --make-rprivate /
rm -rf "${scratch:?}"/*
mkdir -p "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t tmpfs tmpfs "$scratch/upper"
mkdir "$scratch/upper/data" "$scratch/upper/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper/data,workdir=$scratch/upper/work" "$scratch/root"
for name in proc sys dev; do
    mount --rbind "/$name" "$scratch/root/$name"
done
mount -t bpf bpf "$scratch/root/sys/fs/bpf"
mount -t tmpfs tmpfs "$scratch/root/run"
# What the copy needs may be in other file systems than the root.
for place in "$playbooks" "$(dirname "$package")" "$(dirname "$(dirname "$python")")" \
    "$("$python" -c 'import sys; print(sys.base_prefix)')"; do
    if [ -z "$(ls -A "$scratch/root$place" 2>/dev/null)" ]; then
        mkdir -p "$scratch/root$place"
        mount --bind "$place" "$scratch/root$place"
        mount -o remount,bind,ro "$scratch/root$place"
    fi
done
ip link set lo up
ip link add eth0 type veth peer name peer0
ip link set eth0 up
ip link set peer0 up

play() {
    chroot "$scratch/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        ANSIBLE_CONFIG="$playbooks/ansible.cfg" ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=0 \
        "$python" -m ansible playbook --connection local --inventory edge, "$playbooks/playbook.yml" \
        --extra-vars "ansible_python_interpreter=/usr/bin/python3 ansible_become=false" \
        --extra-vars "geofence_service=false geofence_package=$package" "$@" >"$scratch/log" 2>&1
}
changed() { sed -n 's/.*changed=\([0-9]*\) .*/\1/p' "$scratch/log"; }

say "the first run"
play || { cat "$scratch/log" >&2; fail "the first run"; }
grep -E 'changed:|ok=' "$scratch/log" >&2
[ "$(changed)" -ge 2 ] || fail "the first run changed too little"
chroot "$scratch/root" geofence check >/dev/null
grep -qx 'mode = "monitor"' "$scratch/root/etc/geofence/geofence.toml" || fail "the mode is not monitor"

say "the second run"
play || { cat "$scratch/log" >&2; fail "the second run"; }
grep 'ok=' "$scratch/log" >&2
[ "$(changed)" = 0 ] || fail "the second run changed something"

say "enforcing"
play --extra-vars geofence_mode=enforce || { cat "$scratch/log" >&2; fail "enforcing"; }
grep 'ok=' "$scratch/log" >&2
[ "$(changed)" = 1 ] || fail "more or less than the configuration changed"
grep -qx 'mode = "enforce"' "$scratch/root/etc/geofence/geofence.toml" || fail "the mode is not enforce"

say "a faulty configuration"
if play --extra-vars '{"geofence_block": ["XX"]}'; then fail "a faulty configuration was accepted"; fi
grep -o 'XX[^\\]*' "$scratch/log" | head -n 1 >&2
grep -q '"RU"' "$scratch/root/etc/geofence/geofence.toml" || fail "the faulty configuration was written"
say "done"
