//! The kernel's table of fragmented datagrams, which has room for 16,384.

use geofence_common::action::Reason;
use geofence_tests::frames::{Frame, number};
use geofence_tests::require_root;
use geofence_user::config::Config;

use super::{filter, prepared};

/// More first fragments than the table has room for.
const MANY: u32 = 20_000;
const HERE: &str = "2001:db8::2";
/// Of one blocked country, in two sites.
const MAIL_SERVER: &str = "2a02:6b8:2::1";

fn from(source: &str) -> Frame {
    let source = source.parse().expect("an address");
    Frame::ethernet().ip(source, HERE.parse().expect("an address"))
}

#[test]
fn datagrams_of_one_site_leave_those_of_another() {
    require_root!();
    let config = Config::parse(r#"services = ["udp/5000"]"#, "services.toml").expect("it is valid");
    let mut filter = filter(&prepared(|policy| *policy = config.policy));
    let mut ask = |frame: Frame| {
        filter
            .ask(&frame.build())
            .expect("the kernel runs it")
            .reason
    };
    let mail = from(MAIL_SERVER).fragment(0, true, 7).tcp(40_000, 25);
    assert_eq!(ask(mail.payload([0; 44])), Reason::Mail);
    for number in 0..MANY {
        let first = from(&format!("2a02:6b8:1:{number:x}::1")).fragment(0, true, number);
        let first = first.udp(40_000, 5000).payload([0; 56]);
        assert_eq!(ask(first), Reason::Service);
    }
    let later = from(MAIL_SERVER).fragment(8, false, 7).next(number::TCP);
    assert_eq!(ask(later.payload([0; 64])), Reason::Fragment);
}
