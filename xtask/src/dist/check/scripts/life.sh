#!/bin/sh
# The life of the Debian package in a Debian root: `sh life.sh ROOT PACKAGE`, in mount, network and process namespaces of
# its own. Says what it does, and fails at the first thing that is not as it should be.
set -eu

root=$1
package=$2
. "$(dirname "$0")/shared.sh"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }

rm -rf "$root/etc/geofence" "$root/var/lib/geofence" "$root/run/geofence"
furnish
cp "$package" "$root/geofence.deb"

say "installing"
inside dpkg --purge geofence >/dev/null 2>&1 || true
inside apt-get install --yes --quiet --no-install-recommends ./geofence.deb
is_attached && fail "installing attached a filter"
[ -z "$(inside systemctl is-enabled geofence.service 2>/dev/null | grep -x enabled)" ] || fail "installing enabled the service"
inside geofence --version --verbose
inside geofence check >/dev/null
for file in /usr/share/man/man8/geofence.8.gz /usr/share/doc/geofence/copyright /usr/share/doc/geofence/GEOIP.md \
    /usr/share/bash-completion/completions/geofence /usr/share/geofence/geofence.schema.json \
    /usr/share/geofence/geofence.toml /usr/lib/systemd/system/geofence.service /usr/lib/tmpfiles.d/geofence.conf \
    /usr/share/geofence/prometheus/geofence.rules.yml /usr/share/geofence/grafana/geofence.json \
    /usr/share/geofence/fail2ban/geofence.conf; do
    # dpkg leaves out documentation in some roots; that the package has the file counts there.
    inside dpkg -L geofence | grep -qx "$file" || fail "$file is not in the package"
done

say "starting"
inside geofence init --interface eth0 >"$root/init.log" || [ $? = 1 ] || fail "geofence init"
tail -n 3 "$root/init.log" >&2
inside geofence init --interface eth0 2>/dev/null && fail "geofence init replaced a configuration"
inside geofence run --strict >"$root/run.log" 2>&1 &
until_true is_attached
until_true inside geofence status >/dev/null
first=$(program)

say "stopping the daemon and upgrading"
daemon() { inside geofence status --json | sed -n 's/.*"process": *\([0-9]*\).*/\1/p' | head -n 1; }
kill -TERM "$(daemon)"
wait || true
is_attached || fail "the filter went with the daemon"
inside dpkg --install ./geofence.deb >/dev/null
[ "$(program)" = "$first" ] || fail "the upgrade replaced the filter without a daemon"

say "removing"
inside systemctl --quiet enable geofence.service geofence@lan.service
mkdir -p "$root/var/log/geofence"
inside dpkg --remove geofence
is_attached && fail "the filter outlived the package"
for unit in geofence.service geofence@lan.service; do
    [ -L "$root/etc/systemd/system/multi-user.target.wants/$unit" ] && fail "$unit is still enabled"
done
[ -e "$root/etc/geofence/geofence.toml" ] || fail "removing took the configuration along"

say "purging"
inside dpkg --purge geofence
for left in /etc/geofence /var/lib/geofence /var/log/geofence /run/geofence /usr/sbin/geofence /usr/share/geofence; do
    [ -e "$root$left" ] && fail "$left is left"
done
say "done"
