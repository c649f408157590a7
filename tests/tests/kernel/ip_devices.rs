//! The programs for devices without Ethernet headers, against those for Ethernet devices and the host.

use std::collections::BTreeSet;

use geofence_common::decide::{self, Origin, egress};
use geofence_common::frame::{IpFrame, Link};
use geofence_tests::mutate::Generator;
use geofence_tests::require_root;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::model::policy::Replies;
use geofence_user::os::clock::boot_now;

use super::policies::customers;
use super::{FRAMES, filter, prepared, reverse, sources};

/// What is judged behind an Ethernet header is judged the same without one, but for DHCP.
#[test]
fn frames_without_an_ethernet_header_are_judged_like_those_with_one() {
    require_root!();
    let prepared = prepared(|policy| {
        customers(policy);
        policy.replies = Replies::All;
    });
    let [mut ethernet, mut ip] = [filter(&prepared), filter(&prepared)];
    ip.load_ip().expect("loads");
    let host = SimulatedTables::new(prepared.image.words(), PacketHistory::default());
    let mut generator = Generator::new(9, sources());
    let (mut judged, mut reasons) = (0, BTreeSet::new());
    for _ in 0..FRAMES {
        let (name, frame) = generator.draw();
        let is_ip = matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]));
        // The kernel takes no shorter frame for a test; a version that contradicts the EtherType has no counterpart.
        let version = frame.get(14).map(|byte| byte >> 4);
        if !is_ip
            || frame.len() < 28
            || !matches!((frame[12], version), (8, Some(4)) | (0x86, Some(6)))
        {
            continue;
        }
        // An answer of DHCP is for the station that the Ethernet header names, and has a limit of its own.
        if frame.windows(4).any(|ports| ports == [0, 67, 0, 68]) {
            continue;
        }
        let packet = &frame[14..];
        host.set_now(boot_now().expect("a clock"));
        let mut reversed = frame.clone();
        if reverse(&mut reversed) && reversed.len() >= 54 {
            let sent = ethernet.send(&reversed).expect("sends");
            let packet = &reversed[14..];
            assert_eq!(
                ip.send_on(Link::Ip, packet).expect("sends"),
                sent,
                "{name}: {frame:02x?}"
            );
            egress(&IpFrame(packet), || Origin::Local, &host, &mut ());
        }
        let expected = ethernet.ask(&frame).expect("asks");
        let kernel = ip.ask_on(Link::Ip, packet).expect("asks");
        assert_eq!(kernel, expected, "{name}: {frame:02x?}");
        let host = decide::filter(&IpFrame(packet), &host, &mut ());
        assert_eq!(host, expected, "on the host, {name}: {frame:02x?}");
        judged += 1;
        reasons.insert(expected.reason);
    }
    assert!(
        judged > FRAMES / 2 && reasons.len() >= 12,
        "{judged} frames, {reasons:?}"
    );
}
