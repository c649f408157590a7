//! A damaged list of any format ends in entries or in an error that can be shown.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::samples::*;
use crate::data::lists::read;
use crate::model::list::Format;
use crate::model::word::Word as _;
use crate::processor_time;

const SAMPLES: [&str; 9] = [
    PLAIN,
    NETSET,
    SPAMHAUS,
    SPAMHAUS_JSON,
    FEODO,
    CROWDSEC,
    STIX,
    MISP,
    NFTABLES,
];

/// Reads the bytes in every format. An error must be short, printable and soon.
fn survives(bytes: &[u8]) {
    let started = processor_time::of_thread().unwrap();
    for (word, format, _) in Format::WORDS {
        if let Err(error) = read(bytes, *format, "x.list", NOW) {
            let shown = error.to_string();
            assert!(shown.starts_with("x.list"), "{word}: {shown}");
            assert!(shown.lines().count() <= 6, "{word}: {shown}");
            let longest = shown.lines().map(|line| line.chars().count()).max();
            assert!(longest < Some(500), "{word}: {shown}");
            assert!(
                !shown.contains(|c: char| c.is_control() && c != '\n'),
                "{word}: {shown:?}"
            );
        }
    }
    assert_soon(started, 60);
}

/// Reading, which began at this time of the thread, must not take a core for longer than so many seconds.
fn assert_soon(started: Duration, seconds_max: u64) {
    let taken = processor_time::of_thread().unwrap() - started;
    assert!(
        taken < Duration::from_secs(seconds_max),
        "expected it within {seconds_max} s of a core, but it took {taken:?}"
    );
}

#[test]
fn list_cut_anywhere_ends_in_entries_or_an_error() {
    for sample in SAMPLES {
        for cut in 0..sample.len() {
            survives(&sample.as_bytes()[..cut]);
        }
    }
}

#[test]
fn cut_list_of_a_format_with_a_length_is_refused() {
    for (format, sample) in [
        (Format::Netset, NETSET),
        (Format::Crowdsec, CROWDSEC),
        (Format::Stix, STIX),
        (Format::Misp, MISP),
    ] {
        // After the last entry, or the heading with the count, a loss cannot go unnoticed.
        let start = sample.find("Entries").unwrap_or(0) + 30;
        let end = sample
            .trim_end()
            .rfind("\n")
            .unwrap_or(sample.len())
            .min(sample.trim_end().len() - 1);
        for cut in start.min(end)..=end {
            assert!(
                read(&sample.as_bytes()[..cut], format, "x", NOW).is_err(),
                "{format:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn endless_lines_and_nesting_end_soon() {
    let size = 4 << 20;
    for (start, filling, end) in [
        ("", "5.9.0.1 ", ""),
        ("", "5.9.0.1,", ""),
        ("", "a", ""),
        ("", "-", ""),
        ("", "/", ""),
        ("", "[", ""),
        ("", "{\"a\":", ""),
        ("[", "[", "]"),
        ("{\"objects\":", "[", ""),
        ("{\"decisions\":[", "{\"decisions\":[", ""),
        ("elements = {", "{", ""),
        ("elements = {", "5.9.0.1 ", ""),
        ("elements = {", "\"", ""),
        ("elements = {", " timeout", "}"),
        ("elements", "=", ""),
        ("", "type ", ""),
        ("dst_ip\n", "\"", ""),
        ("dst_ip\n", ",", ""),
        ("", "\n", "x"),
        ("", "\r", "x"),
        ("", "é", ""),
        (
            "{\"objects\":[{\"type\":\"indicator\",\"pattern\":\"",
            "(",
            "\"}]}",
        ),
        (
            "{\"objects\":[{\"type\":\"indicator\",\"pattern\":\"",
            "[ipv4-addr:value='5.9.0.1'] OR ",
            "\"}]}",
        ),
    ] {
        let text = format!("{start}{}{end}", filling.repeat(size / filling.len()));
        survives(text.as_bytes());
    }
}

#[test]
fn many_elements_in_one_line_are_read_in_linear_time() {
    let element = |number: u32| std::net::Ipv4Addr::from(0x0500_0000 + number).to_string();
    let elements: Vec<_> = (0..300_000).map(element).collect();
    let text = format!("elements = {{ {} }}", elements.join(", "));
    let started = processor_time::of_thread().unwrap();
    assert_eq!(
        read_as(Format::Nftables, &text).entries.len(),
        elements.len()
    );
    assert_soon(started, 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bits_end_in_entries_or_an_error(
        sample in 0..SAMPLES.len(),
        flips in proptest::collection::vec(any::<(Index, u8)>(), 1..6),
    ) {
        let mut bytes = SAMPLES[sample].as_bytes().to_vec();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << (bit & 7);
        }
        survives(&bytes);
    }

    #[test]
    fn mixed_formats_end_in_entries_or_an_error(
        one in 0..SAMPLES.len(), two in 0..SAMPLES.len(), cuts in any::<[Index; 3]>(),
    ) {
        let (one, two) = (SAMPLES[one].as_bytes(), SAMPLES[two].as_bytes());
        let [at, start, end] = cuts;
        let (start, end) = (start.index(two.len()), end.index(two.len()));
        let (head, tail) = one.split_at(at.index(one.len()));
        survives(&[head, &two[start.min(end)..start.max(end)], tail].concat());
    }

    #[test]
    fn random_bytes_end_in_entries_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    #[test]
    fn random_words_end_in_entries_or_an_error(words in proptest::collection::vec(
        prop_oneof![
            "[ -~]{0,12}",
            proptest::sample::select(vec![
                "{", "}", "[", "]", ",", ";", "=", ":", ".", "-", "/", "#", "\n", "\"", "'", "elements", "set",
                "type ipv4_addr;", "timeout", "1h", "counter", "define", "5.9.0.1", "5.9.0.0/16", "2a01::/16", "OR",
                "ipv4-addr:value", "add", "create", "dst_ip", "\\", "\\\n",
            ]).prop_map(str::to_owned),
        ], 0..30,
    )) {
        survives(words.join(" ").as_bytes());
        survives(words.concat().as_bytes());
    }
}
