//! Whatever is done to a file, reading it ends in a configuration or in errors that can be shown.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::config::schema::KEYS;
use crate::config::{Config, DEFAULT};

/// Reads the text; when it is refused, every error must have its place and must be shown.
fn survives(text: &str) {
    if let Err(errors) = Config::parse(text, "mutated.toml") {
        assert!(errors.count() > 0);
        for fault in errors.faults() {
            assert!(fault.line >= 1 && fault.column >= 1);
            assert!(!fault.problem.title.is_empty() && !fault.problem.help.is_empty());
        }
        let shown = errors.render(false);
        assert!(
            shown.starts_with("error: ") && shown.contains("mutated.toml:"),
            "{shown}"
        );
        assert!(
            errors.render(true).len() > shown.len(),
            "colours add to the text"
        );
    }
}

/// Pieces that mean something to TOML or to a key.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        "#",
        "\n",
        "\r",
        "\\",
        ".",
        "\"\"\"",
        "é",
        "\u{feff}",
        "\u{0}",
        "🦀",
        "0x",
        "1e9",
        "inf",
        "1979-05-27",
        "true",
        "-1",
        "\"::ffff:1.2.3.4/97\"",
        "\"tcp/0-\"",
        "\"1.2.3.4/33\"",
        "\"/\"",
        "\"-\"",
        "\"%\"",
        "\"[]:1\"",
        "block = [\"",
        "mode.mode = 1",
        "[[block]]",
        "\"../..\"",
        "\"::/0\"",
    ]);
    prop_oneof![known.prop_map(str::to_owned), ".{0,6}"]
}

/// Where, how many bytes are cut out, and what is put there.
fn replacement() -> impl Strategy<Value = (Index, usize, String)> {
    (any::<Index>(), 0_usize..40, piece())
}

proptest! {
    #[test]
    fn pieces_put_into_the_shipped_file(edits in prop::collection::vec(replacement(), 1..6)) {
        let mut text = DEFAULT.to_owned();
        for (at, cut, piece) in edits {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + cut).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        survives(&text);
    }

    #[test]
    fn bytes_of_the_shipped_file_flipped(edits in prop::collection::vec(any::<(Index, u8)>(), 1..8)) {
        let mut bytes = DEFAULT.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_as_any_value(key in 0..KEYS.len(), text in ".{0,40}") {
        let name = KEYS[key].doc.name;
        let quoted = toml::Value::String(text).to_string();
        survives(&format!("{name} = {quoted}"));
        survives(&format!("{name} = [{quoted}, {quoted}]"));
    }

    #[test]
    fn addresses_nearly_right(text in "[0-9a-f:./%\\[\\] -]{0,24}") {
        for key in ["listen", "management", "services"] {
            survives(&format!("{key} = \"{text}\""));
            survives(&format!("{key} = [\"{text}\"]"));
        }
    }

    #[test]
    fn a_prefix_reads_as_itself(address in any::<u32>(), bits in 0_u8..=32) {
        let net = ipnet::Ipv4Net::new(address.into(), bits).unwrap().trunc();
        let config = Config::parse(&format!("deny = [\"{net}\"]"), "prefix.toml").unwrap();
        prop_assert_eq!(config.policy.deny, vec![ipnet::IpNet::V4(net)]);
    }
}
