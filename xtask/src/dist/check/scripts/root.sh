#!/bin/sh
# Makes a Debian root of the release that this machine has: `sh root.sh ROOT PACKAGES`, with the network of this machine.
# A root that was made with the same packages stays as it is.
set -eu

root=$1
packages=$2

if [ "$(cat "$root/made" 2>/dev/null)" = "$packages" ]; then
    exit 0
fi
echo "root: making a Debian root with $packages" >&2
rm -rf "${root:?}"
mkdir -p "$root"
. /etc/os-release
# Other files there name other archives.
sources=$(grep --extended-regexp --files-with-matches "^(Suites:|deb ).* ?$VERSION_CODENAME( |\$)" \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1)
if [ -z "$sources" ]; then
    echo "root: no file in /etc/apt names the archive of $VERSION_CODENAME" >&2
    exit 1
fi
mmdebstrap --quiet --variant=minbase --include="$packages" "$VERSION_CODENAME" "$root" "$sources"
echo "$packages" >"$root/made"
