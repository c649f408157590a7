//! The header and the fixed parts of an image, its storage, and its size.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use geofence_common::action::{Direction, Mode};
use geofence_common::image::{
    CLASS_WORDS, FREE_LINE, LAYOUT, LINE_WORDS, PortRule, TCP_SERVICES_LINE, UDP_SERVICES_LINE,
    Words as _, flag, header,
};
use ipnet::Ipv4Net;

use super::helpers::*;
use crate::compile::{CompileError, Image, ImageError, Target, TooLarge, compile};
use crate::model::policy::{Action, CountryRule, Mail, Service, ServiceProtocol};
use crate::model::units::UnixSeconds;
use crate::oracle::default_policy;

#[test]
fn header_describes_the_image() {
    let (mut policy, database) = example();
    policy.settings.mode = Mode::Monitor;
    policy.settings.special_use = Action::Drop;
    policy.settings.icmp_echo = Action::Pass;
    let image = compile(&policy, &database, &TARGET).unwrap();
    let flags = image.flags();
    assert_eq!((flags.mode(), flags.slot()), (Mode::Monitor, 1));
    assert!(flags.blocks_special_use() && flags.passes_icmp_echo());
    assert_eq!(
        (image.generation(), image.compiled(), image.data_built()),
        (7, TARGET.compiled, UnixSeconds(0))
    );
    assert_eq!(image.prefixes(), [4, 4]);
    assert_eq!(image.words()[header::LINES] as usize, image.lines().len());
    assert_eq!(
        image.words()[header::CLASSES] as usize,
        image.classes().count()
    );
    assert!(image.nodes() > 0 && image.size() == image.to_bytes().len());

    let plain = compile(&default_policy(), &database, &Target { slot: 0, ..TARGET }).unwrap();
    assert_eq!(plain.flags().0, flag::REPLIES_MAIL);
}

#[test]
fn image_with_a_host_table_needs_the_programs_with_rules() {
    let (mut policy, database) = example();
    policy.allow.clear();
    for (count, is_needed) in [(200_u32, false), (600, true)] {
        // Every other address, so that none merges with its neighbour.
        policy.deny = (0..count)
            .map(|number| Ipv4Net::from(Ipv4Addr::from(0x5102_0000 + 2 * number)).into())
            .collect();
        let image = compile(&policy, &database, &TARGET).unwrap();
        assert_eq!(image.words()[header::HOST_LINES] != 0, is_needed);
        assert_eq!(image.flags().has(flag::HOSTS), is_needed);
        assert_eq!(image.flags().need_rules(Direction::In), is_needed);
        assert!(!image.flags().concern_every_packet());
    }
}

#[test]
fn port_rules_are_in_their_sections() {
    let (mut policy, database) = example();
    policy.settings.mail = Mail::Mta;
    policy.settings.services = vec![
        Service {
            protocol: ServiceProtocol::Tcp,
            first: 20,
            last: 40,
        },
        Service {
            protocol: ServiceProtocol::Udp,
            first: 65_535,
            last: 65_535,
        },
        Service {
            protocol: ServiceProtocol::Tcp,
            first: 0,
            last: 0,
        },
    ];
    let image = compile(&policy, &database, &TARGET).unwrap();
    for port in 0..=u16::MAX {
        let tcp = match port {
            25 => PortRule::Mail,
            0 | 20..=40 => PortRule::Service,
            _ => PortRule::None,
        };
        let udp = if port == 65_535 {
            PortRule::Service
        } else {
            PortRule::None
        };
        assert_eq!(
            image.words().port_rule(TCP_SERVICES_LINE as u32, port),
            Some(tcp),
            "{port}"
        );
        assert_eq!(
            image.words().port_rule(UDP_SERVICES_LINE as u32, port),
            Some(udp),
            "{port}"
        );
    }
}

#[test]
fn change_of_blocked_countries_rewrites_class_records_only() {
    let (mut policy, database) = example();
    let before = compile(&policy, &database, &TARGET).unwrap();
    policy.settings.rule = CountryRule::AllowOnly(BTreeSet::from([country("GB")]));
    policy.settings.unknown = Action::Drop;
    let after = compile(&policy, &database, &TARGET).unwrap();
    assert!(
        class_of(&after, "2a02:1ff::").is_blocked() && !class_of(&after, "81.2.1.1").is_blocked()
    );
    assert!(class_of(&after, "9.9.9.9").is_blocked() && !class_of(&after, "10.0.0.1").is_blocked());
    let table =
        FREE_LINE..FREE_LINE + (before.classes().count() * CLASS_WORDS).div_ceil(LINE_WORDS);
    for (line, (a, b)) in before.lines().iter().zip(after.lines()).enumerate().skip(1) {
        assert!(a == b || table.contains(&line), "line {line} changed");
    }
    assert_eq!(before.lines().len(), after.lines().len());
}

#[test]
fn stored_image_is_read_back_and_damage_is_detected() {
    let (policy, database) = example();
    let image = compile(&policy, &database, &TARGET).unwrap();
    let bytes = image.to_bytes();
    assert_eq!(Image::from_bytes(&bytes).as_ref(), Ok(&image));

    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert_eq!(Image::from_bytes(&damaged), Err(ImageError::Checksum));
    damaged = bytes.clone();
    damaged[header::CHECKSUM * 4] ^= 1;
    assert_eq!(Image::from_bytes(&damaged), Err(ImageError::Checksum));
    damaged = bytes.clone();
    let found = LAYOUT + 1;
    damaged[header::LAYOUT * 4] = found as u8;
    assert_eq!(
        Image::from_bytes(&damaged),
        Err(ImageError::Layout { found })
    );
    for cut in [63, 64, bytes.len() - 64, bytes.len() - 1] {
        assert!(Image::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    for padding in [1, 64] {
        let padded = [bytes.as_slice(), &vec![0; padding]].concat();
        assert!(matches!(
            Image::from_bytes(&padded),
            Err(ImageError::Length { .. })
        ));
    }
    assert_eq!(Image::from_bytes(&[0; 640]), Err(ImageError::NotAnImage));

    let other = image.clone().restamped(8, 0);
    assert_eq!((other.generation(), other.flags().slot()), (8, 0));
    assert_eq!(other.lines()[1..], image.lines()[1..]);
    assert_eq!(Image::from_bytes(&other.to_bytes()), Ok(other));
}

#[test]
fn same_input_gives_the_same_bytes() {
    let (policy, database) = example();
    let [one, two] = [(); 2].map(|()| compile(&policy, &database, &TARGET).unwrap().to_bytes());
    assert!(one == two);
}

#[test]
fn image_that_does_not_fit_is_an_error_with_both_sizes() {
    let (policy, database) = example();
    let lines = compile(&policy, &database, &TARGET).unwrap().lines().len() as u32;
    let fitting = Target {
        lines_max: lines,
        ..TARGET
    };
    assert!(compile(&policy, &database, &fitting).is_ok());
    let tight = Target {
        lines_max: lines - 1,
        ..TARGET
    };
    let error = compile(&policy, &database, &tight).unwrap_err();
    assert_eq!(
        error,
        CompileError::TooLarge(TooLarge {
            lines,
            lines_max: lines - 1
        })
    );
    let text = error.to_string();
    assert!(
        text.contains(&lines.to_string()) && text.contains(&(lines - 1).to_string()),
        "{text}"
    );
}
