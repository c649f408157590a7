#!/bin/sh
# The life of the RPM package in a Debian root, with a database of RPM in it: `sh rpm.sh ROOT PACKAGE`, in mount, network
# and process namespaces of its own. What the package depends on is not asked, because the root knows it by other names.
# Says what it does, and fails at the first thing that is not as it should be.
set -eu

root=$1
package=$2
. "$(dirname "$0")/shared.sh"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"; }
manage() { rpm --root "$root" --dbpath /var/lib/rpm --nodeps "$@"; }
daemon() { inside geofence status --json | sed -n 's/.*"process": *\([0-9]*\).*/\1/p' | head -n 1; }

rm -rf "$root/etc/geofence" "$root/var/lib/geofence" "$root/run/geofence" "$root/var/lib/rpm"
mkdir -p "$root/var/lib/rpm"
furnish

say "reading"
rpm --checksig --nosignature "$package" >&2
rpm --query --package --requires "$package" | sed 's/^/    /' >&2
rpm --query --package --scripts "$package" | grep -q 'geofence detach --all' || fail "removing would not detach"

say "installing"
inside dpkg --purge geofence >/dev/null 2>&1 || true
manage --install "$package"
is_attached && fail "installing attached a filter"
[ "$(inside systemctl is-enabled geofence.service 2>/dev/null)" = enabled ] && fail "installing enabled the service"
manage --verify geofence || fail "the files are not those of the package"
[ -d "$root/etc/geofence" ] || fail "there is no /etc/geofence"
inside geofence check >/dev/null

say "starting"
inside geofence init --interface eth0 >"$root/init.log" || [ $? = 1 ] || fail "geofence init"
inside geofence run --strict >"$root/run.log" 2>&1 &
until_true is_attached
until_true inside geofence status >/dev/null
first=$(program)

say "stopping the daemon and upgrading"
kill -TERM "$(daemon)"
wait || true
manage --upgrade --replacepkgs --replacefiles "$package"
[ "$(program)" = "$first" ] || fail "the upgrade took the filter off, or replaced it without a daemon"

say "removing"
inside systemctl --quiet enable geofence.service
manage --erase geofence
is_attached && fail "the filter outlived the package"
[ -L "$root/etc/systemd/system/multi-user.target.wants/geofence.service" ] && fail "the service is still enabled"
[ -e "$root/etc/geofence/geofence.toml" ] || fail "removing took the configuration along"
[ -e "$root/usr/sbin/geofence" ] && fail "the command is left"
rm -rf "$root/etc/geofence" "$root/var/lib/geofence" "$root/var/lib/rpm"
say "done"
