#!/bin/sh
# The archive with the static binary, in a root that has nothing else: `sh tarball.sh ROOT ARCHIVE`, in mount, network and
# process namespaces of its own. Says what it does, and fails at the first thing that is not as it should be.
set -eu

root=$1
archive=$2
. "$(dirname "$0")/shared.sh"

geofence() { chroot "$root" /usr/sbin/geofence "$@"; }

mount --make-rprivate /
rm -rf "${root:?}"
mkdir -p "$root"
# Everything is in one directory, whose name has the version.
[ "$(tar --list --gzip --file "$archive" | cut -d / -f 1 | sort -u)" = "$(basename "$archive" .tar.gz)" ] ||
    fail "the archive has more than one directory"
tar --extract --gzip --strip-components 1 --directory "$root" --file "$archive"
for place in usr/sbin/geofence usr/lib/systemd/system/geofence.service usr/share/doc/geofence/LICENSE-MIT \
    usr/share/geofence/geofence.toml usr/share/man/man8/geofence.8; do
    [ -s "$root/$place" ] || fail "$place is not in the archive"
done

say "a root without anything else"
geofence --version --verbose | sed 's/^/    /' >&2
geofence check >/dev/null
geofence lookup 5.136.0.77 | grep -q 'RU (Russia)' || fail "the embedded database does not answer"

say "filtering"
mkdir -p "$root/proc" "$root/sys" "$root/run" "$root/var/lib" "$root/etc"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
ip link set lo up
ip link add eth0 type veth peer name peer0
ip link set eth0 up
ip link set peer0 up
geofence run --interface eth0 >"$root/run.log" 2>&1 &
until_true is_attached
until_true geofence status >/dev/null
geofence detach --all >/dev/null
is_attached && fail "the filter is still attached"
say "done"
