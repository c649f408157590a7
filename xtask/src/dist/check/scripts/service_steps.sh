# What happens inside the booted root; sourced by no one: `sh -eu service_steps.sh guide|boot|upgrade|ansible`.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER=cat SYSTEMD_COLORS=0
fail() {
    journalctl --unit geofence --lines 20 --no-pager
    echo "FAILED: $*"
    exit 1
}
until_true() { for _ in $(seq 600); do if "$@"; then return; fi; sleep 0.1; done; fail "not within 60 s: $*"; }
main_process() { systemctl show --property MainPID --value geofence; }
state() { systemctl show --property StatusText --value geofence; }

guide() {
    cd /root
    begun=$(date +%s)
    while read -r command; do
        echo "# $command"
        # `geofence init` ends with 1 if something should change first, which is so on a pair of virtual interfaces.
        sh -eu -c "$command" </dev/null || case $command in
            "geofence init"*) [ $? = 1 ] ;;
            *) fail "$command" ;;
        esac
    done </steps/guide
    seconds=$(($(date +%s) - begun))
    echo "the guide took $seconds s"
    [ "$seconds" -lt 300 ] || fail "the guide takes five minutes or more"

    state | grep -q '^enforcing, 1 interface' || fail "the state is $(state)"
    ip -details link show eth0 | grep -q 'prog/xdp' || fail "nothing is attached"
    systemd-analyze security geofence.service | tail -n 1

    echo "a reload that is accepted, and one that is refused"
    echo 'icmp-echo = "pass"' >>/etc/geofence/geofence.toml
    systemctl reload geofence
    cp /etc/geofence/geofence.toml /root/good.toml
    echo 'icmp-echo = 7' >>/etc/geofence/geofence.toml
    if systemctl reload geofence; then fail "a broken configuration was accepted"; fi
    systemctl is-active --quiet geofence || fail "a refused reload ended the service"
    cp /root/good.toml /etc/geofence/geofence.toml
    systemctl reload geofence

    echo "a daemon that stands still"
    before=$(main_process)
    kill -STOP "$before"
    restarted() { now=$(main_process); [ "$now" != 0 ] && [ "$now" != "$before" ]; }
    until_true restarted
    until_true systemctl is-active --quiet geofence
    journalctl --unit geofence --output short-monotonic --no-pager | grep -i watchdog | tail -n 2
    ip -details link show eth0 | grep -q 'prog/xdp' || fail "the filter went with the daemon"

    echo "priorities in the journal"
    journalctl --unit geofence --priority err --no-pager | tail -n 3
    lines=$(journalctl --unit geofence --priority err --no-pager | grep -c 'icmp-echo') || true
    [ "$lines" -gt 0 ] || fail "the refused reload is no error in the journal"
    systemctl is-enabled geofence >/dev/null || fail "the service is not enabled"
    systemctl list-timers --no-pager geofence-update.timer | grep -q geofence-update || fail "the timer does not run"
}

boot() {
    until_true systemctl is-active --quiet geofence
    until_true test -e /steps/counts
    systemd-analyze critical-chain geofence.service 2>/dev/null | tail -n 3 || true
    state
}

upgrade() {
    until_true systemctl is-active --quiet geofence
    rm -f /steps/counts
    before=$(main_process)
    python3 /steps/traffic.py count /steps/counts 15 &
    python3 /steps/traffic.py send peer0 "$(cat /sys/class/net/eth0/address)" 15 &
    dpkg --install /steps/next.deb
    until_true systemctl is-active --quiet geofence
    [ "$(main_process)" != "$before" ] || fail "the upgrade did not restart the daemon"
    wait
    dpkg-query --show geofence
    state
}

# The role installs the package on a machine that has none, starts the service, and changes the mode.
ansible() {
    dpkg --purge geofence
    play() {
        ANSIBLE_CONFIG=/steps/ansible/ansible.cfg ANSIBLE_NOCOLOR=1 HOME=/root LC_ALL=C.UTF-8 \
            /opt/ansible/bin/python -m ansible playbook --connection local --inventory edge, /steps/ansible/playbook.yml \
            --extra-vars "ansible_python_interpreter=/usr/bin/python3 ansible_become=false" \
            --extra-vars "geofence_package=$(ls /root/geofence_*.deb)" "$@" >/steps/ansible.log 2>&1 ||
            { cat /steps/ansible.log; fail "the role"; }
        grep 'ok=' /steps/ansible.log
    }
    changed() { sed -n 's/.*changed=\([0-9]*\) .*/\1/p' /steps/ansible.log; }
    play
    [ "$(changed)" -ge 3 ] || fail "the first run changed too little"
    systemctl is-active --quiet geofence || fail "the service does not run"
    systemctl is-enabled --quiet geofence || fail "the service is not enabled"
    state | grep -q '^monitoring, nothing is dropped, 1 interface' || fail "the state is $(state)"
    play
    [ "$(changed)" = 0 ] || fail "the second run changed something"
    before=$(main_process)
    play --extra-vars geofence_mode=enforce
    [ "$(changed)" = 2 ] || fail "more or less than the configuration and the policy changed"
    state | grep -q '^enforcing, 1 interface' || fail "the state is $(state)"
    [ "$(main_process)" = "$before" ] || fail "a change of the configuration restarted the service"
}

"$1"
echo ok
