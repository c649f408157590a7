# What the scripts share that filter in a root without a service manager. They read this file once `root` is set.

say() { echo "$(basename "$0" .sh): $*" >&2; }
fail() { say "FAILED: $*"; exit 1; }
until_true() { for _ in $(seq 300); do if "$@"; then return; fi; sleep 0.1; done; fail "not within 30 s: $*"; }
# The identity of the XDP program on the interface; nothing if there is none.
program() { ip -details link show eth0 | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p'; }
is_attached() { [ -n "$(program)" ]; }

# Gives the root the kernel's file systems, and this network namespace an interface to protect.
furnish() {
    mount --make-rprivate /
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t bpf bpf "$root/sys/fs/bpf"
    mount --rbind /dev "$root/dev"
    ip link set lo up
    ip link add eth0 type veth peer name peer0
    ip link set eth0 up
    ip link set peer0 up
}
