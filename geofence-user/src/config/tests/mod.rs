//! What a configuration means, and what is said about one that means nothing.

mod broken;
mod json_schema;
mod merged;
mod mutated;
mod rendered;
mod secrets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use geofence_common::action::Mode;
use geofence_common::country::Country;
use toml::de::DeTable;

use super::asn::AsName;
use super::configuration::{Config, XdpMode};
use super::key_doc::Kind;
use super::parse::{DEFAULT, DEFAULT_NAME};
use super::schema::{KEYS, TABLES};
use super::sources::Sources;
use super::{docs, overrides};
use crate::model::list::{
    Action as ListAction, Api, Definition, Direction, Format, Source, SpecialUseEntries,
};
use crate::model::policy::{
    Action, AsRule, CountryRule, CrossCheckRule, Lookup, Mail, Service, ServiceProtocol,
};
use crate::model::secret::Access;

fn parse(text: &str) -> Config {
    Config::parse(text, "geofence.toml").unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

fn countries(codes: &[&str]) -> BTreeSet<Country> {
    let country = |code: &&str| Country::from_code(code.as_bytes().try_into().unwrap()).unwrap();
    codes.iter().map(country).collect()
}

#[test]
fn the_shipped_file_sets_every_key_and_is_the_default() {
    let shipped = Config::blank().read(&Sources::one(DEFAULT_NAME, DEFAULT));
    let shipped = shipped.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let table = DeTable::parse(DEFAULT).unwrap();
    for key in KEYS.iter().map(|key| &key.doc) {
        // The inverse of `block` cannot be set beside it; the file shows it in a comment.
        let written = table.get_ref().contains_key(key.name);
        assert_eq!(written, key.name != "allow-only", "{}", key.name);
    }
    assert!(DEFAULT.contains("\n# allow-only = "));
    assert_eq!(Config::default(), shipped);
    assert_eq!(parse(""), shipped);
    assert_eq!(parse(DEFAULT), shipped);
    assert_eq!(shipped.warnings(), [""; 0]);
}

#[test]
fn the_default_policy_is_the_documented_one() {
    let config = Config::default();
    let policy = &config.policy;
    let blocked = countries(&["RU", "UA", "BY", "CN", "KP"]);
    assert_eq!(policy.settings.rule, CountryRule::Block(blocked));
    assert_eq!(
        (policy.settings.mode, policy.settings.mail),
        (Mode::Enforce, Mail::Full)
    );
    assert_eq!(
        (policy.settings.unknown, policy.settings.special_use),
        (Action::Pass, Action::Pass)
    );
    assert_eq!(
        (policy.settings.icmp_echo, policy.lookup),
        (Action::Drop, Lookup::ArrayTrie)
    );
    assert!(policy.settings.services.is_empty() && policy.management.is_empty());
    assert!(policy.allow.is_empty() && policy.deny.is_empty());
    assert_eq!(config.listen.to_string(), "127.0.0.1:10317");
    assert_eq!(config.xdp_mode, XdpMode::Native);
    assert_eq!(config.image_capacity, None);
    assert!(config.interfaces.is_empty() && config.databases.is_empty());
}

#[test]
fn every_key_changes_the_configuration() {
    let config = parse(
        r#"
        interfaces = ["eth0", "eth1.100"]
        mode = "monitor"
        xdp-mode = "auto"
        lookup = "lpm-trie"
        listen = "[::1]:9"
        databases = ["/a/v4.mmdb", "v6.mmdb"]
        cross-check-databases = ["two.mmdb"]
        cross-check = "all"
        asn-database = "asn.mmdb"
        capacity-mib = 64
        allow-only = ["EU", "CH"]
        unknown = "drop"
        special-use = "drop"
        mail = "mta"
        services = ["tcp/443", "udp/9000-9010"]
        icmp-echo = "pass"
        management = ["198.51.100.7", "2001:db8::/48"]
        allow = ["203.0.113.0/24"]
        deny = ["::/0", "AS64500"]
        "#,
    );
    let policy = &config.policy;
    let CountryRule::AllowOnly(allowed) = &policy.settings.rule else {
        panic!("allow-only was read as a block list");
    };
    assert_eq!(allowed.len(), 28);
    assert!(countries(&["DE", "CH"]).is_subset(allowed));
    assert_eq!(
        (policy.settings.mode, policy.settings.mail),
        (Mode::Monitor, Mail::Mta)
    );
    assert_eq!(
        (policy.settings.unknown, policy.settings.special_use),
        (Action::Drop, Action::Drop)
    );
    assert_eq!(
        (policy.settings.icmp_echo, policy.lookup),
        (Action::Pass, Lookup::LpmTrie)
    );
    let service = |protocol, first, last| Service {
        protocol,
        first,
        last,
    };
    let services = [
        service(ServiceProtocol::Tcp, 443, 443),
        service(ServiceProtocol::Udp, 9000, 9010),
    ];
    assert_eq!(policy.settings.services, services);
    let prefixes =
        |prefixes: &[ipnet::IpNet]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        prefixes(&policy.management),
        ["198.51.100.7/32", "2001:db8::/48"]
    );
    assert_eq!(prefixes(&policy.allow), ["203.0.113.0/24"]);
    assert_eq!(prefixes(&policy.deny), ["::/0"]);
    assert_eq!(config.asn_database.as_deref(), Some(Path::new("asn.mmdb")));
    assert_eq!(config.cross_check_databases, [Path::new("two.mmdb")]);
    assert_eq!(policy.cross_check, CrossCheckRule::All);
    let mentions: Vec<_> = config
        .as_mentions
        .iter()
        .map(|mention| (&mention.name, &mention.rule, mention.place.as_str()))
        .collect();
    let expected = (
        &AsName::Number(64_500),
        &AsRule::Deny,
        "geofence.toml:20:25",
    );
    assert_eq!(mentions, [expected]);
    assert_eq!(config.interfaces, ["eth0", "eth1.100"]);
    assert_eq!(
        config.databases,
        [Path::new("/a/v4.mmdb"), Path::new("v6.mmdb")]
    );
    assert_eq!(
        (config.listen.to_string().as_str(), config.xdp_mode),
        ("[::1]:9", XdpMode::Auto)
    );
    assert_eq!(config.image_capacity, Some(64 << 20));
}

#[test]
fn every_example_is_accepted_and_every_word_is_read_as_itself() {
    for key in KEYS.iter().map(|key| &key.doc) {
        parse(key.example);
        assert!(
            key.example.starts_with(&format!("{} = ", key.name)),
            "{}",
            key.name
        );
        if let Kind::Word(words) = &key.kind {
            let read: Vec<_> = words
                .iter()
                .map(|(word, _)| parse(&format!("{} = \"{word}\"", key.name)))
                .collect();
            for (at, one) in read.iter().enumerate() {
                assert!(
                    !read[at + 1..].contains(one),
                    "{} has two words for one value",
                    key.name
                );
            }
        }
    }
}

#[test]
fn lists_are_read_with_their_defaults() {
    let config = parse(
        r#"
        mode = "monitor"
        [[list]]
        name = "one"
        file = "/etc/one.txt"
        format = "plain"
        [[list]]
        name = "two"
        url = "https://lists.example/two?key=1"
        format = "auto"
        action = "alert"
        direction = "out"
        expires = "1d12h"
        "#,
    );
    let list = |name: &str, source, format| Definition {
        name: name.to_owned(),
        source,
        format,
        action: ListAction::Block,
        direction: Direction::Both,
        expires: None,
        special_use: SpecialUseEntries::Refuse,
        max_share: None,
        api: Api::None,
        access: Access::default(),
    };
    let expected = [
        list("one", Source::File("/etc/one.txt".into()), Format::Plain),
        Definition {
            action: ListAction::Alert,
            direction: Direction::Out,
            expires: Some(std::time::Duration::from_secs(36 * 3600)),
            special_use: SpecialUseEntries::Refuse,
            max_share: None,
            ..list(
                "two",
                Source::Url("https://lists.example/two?key=1".to_owned()),
                Format::Auto,
            )
        },
    ];
    assert_eq!(config.lists, expected);
    assert_eq!(config.policy.settings.mode, Mode::Monitor);
    assert_eq!(config.warnings(), [""; 0]);
}

#[test]
fn the_example_of_every_table_is_accepted() {
    // Together, for some name others.
    let (mut examples, mut before) = (String::new(), Config::default());
    for table in TABLES.iter() {
        let mut text = String::new();
        table.describe(&mut text);
        let example = text
            .split("```")
            .nth(1)
            .and_then(|part| part.strip_prefix("toml\n"));
        examples.push_str(example.expect("an example"));
        let config = parse(&examples);
        assert_ne!(config, before, "{}", table.name());
        before = config;
    }
    let commented: String = DEFAULT
        .lines()
        .skip_while(|line| *line != "# [[list]]")
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    assert_eq!(parse(&commented).lists.len(), 1);
}

#[test]
fn a_mark_before_the_text_is_no_part_of_it() {
    assert_eq!(
        parse("\u{feff}mode = \"monitor\"").policy.settings.mode,
        Mode::Monitor
    );
}

#[test]
fn groups_and_countries_may_overlap() {
    let config = parse("block = [\"EU\", \"DE\", \"North America\"]");
    let CountryRule::Block(blocked) = config.policy.settings.rule else {
        panic!("block was read as its inverse");
    };
    assert!(countries(&["DE", "FR", "US", "MX"]).is_subset(&blocked));
    assert!(blocked.is_disjoint(&countries(&["RU", "CH", "BR"])));
}

#[test]
fn what_is_legal_but_seldom_meant_is_warned_about() {
    for (text, warning) in [
        ("block = []", "no country is blocked"),
        ("allow = [\"0.0.0.0/0\"]", "allow has 0.0.0.0/0"),
        ("deny = [\"::/0\"]", "deny has ::/0"),
        (
            "allow = [\"192.0.2.1\"]\ndeny = [\"192.0.2.1/32\"]",
            "both allow and deny",
        ),
        (
            "[[list]]\nname = \"a\"\nformat = \"plain\"\nurl = \"http://lists.example/a\"",
            "it can be changed on the way",
        ),
        (
            "cross-check-databases = [\"a\"]\n[[tenant]]\nname = \"a\"\nprefixes = [\"192.0.2.0/24\"]\nblock = []",
            "see only the country that `cross-check` chose",
        ),
        (
            "listen = \"0.0.0.0:10317\"",
            "can be reached from other machines",
        ),
    ] {
        let warnings = parse(text).warnings();
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert!(warnings[0].contains(warning), "{text}: {warnings:?}");
    }
}

#[test]
fn relative_databases_start_at_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("geofence.toml");
    let text = "databases = [\"one.mmdb\", \"/two.mmdb\"]\nasn-database = \"asn.mmdb\"\n\
                cross-check-databases = [\"two.mmdb\"]\n\
                [[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"a.txt\"";
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(
        config.lists[0].source,
        Source::File(directory.path().join("a.txt"))
    );
    assert_eq!(
        config.cross_check_databases,
        [directory.path().join("two.mmdb")]
    );
    assert_eq!(config.asn_database, Some(directory.path().join("asn.mmdb")));
    assert_eq!(
        config.databases,
        [
            directory.path().join("one.mmdb"),
            PathBuf::from("/two.mmdb")
        ]
    );
}

#[test]
fn options_take_the_place_of_keys() {
    let mut config =
        parse("allow-only = [\"DE\"]\ninterfaces = [\"eth0\"]\ndatabases = [\"/a.mmdb\"]");
    overrides::interfaces(&mut config, &[]).unwrap();
    overrides::databases(&mut config, &[]);
    assert_eq!((config.interfaces.len(), config.databases.len()), (1, 1));
    overrides::block(&mut config, "RU,south-america").unwrap();
    overrides::mode(&mut config, "monitor").unwrap();
    overrides::listen(&mut config, "127.0.0.1:0").unwrap();
    overrides::interfaces(&mut config, &["eth1".to_owned(), "eth2".to_owned()]).unwrap();
    overrides::databases(&mut config, &["b.mmdb".into()]);
    let CountryRule::Block(blocked) = &config.policy.settings.rule else {
        panic!("--block left the inverse policy in place");
    };
    assert_eq!(blocked.len(), 15);
    assert_eq!(config.policy.settings.mode, Mode::Monitor);
    assert_eq!(config.listen.port(), 0);
    assert_eq!(config.interfaces, ["eth1", "eth2"]);
    assert_eq!(config.databases, [Path::new("b.mmdb")]);
}

#[test]
fn the_documentation_is_what_the_table_says() {
    const BEGIN: &str = "<!-- written from the table of keys -->\n";
    const END: &str = "<!-- end of what is written from the table of keys -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("docs/configuration.md lost its first mark");
    let (_, after) = rest
        .split_once(END)
        .expect("docs/configuration.md lost its second mark");
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", docs::docs());
    if std::env::var_os("GEOFENCE_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/configuration.md is not what the keys say; refresh it with: \
             GEOFENCE_BLESS=1 cargo test -p geofence-user the_documentation"
        );
    }
}

#[test]
fn former_names_of_keys_are_accepted_with_a_warning_that_names_the_new_one() {
    let config = parse("second-opinion = [\"two.mmdb\"]\nagreement = \"all\"\n\npressure = 200\n");
    let expected =
        parse("cross-check-databases = [\"two.mmdb\"]\ncross-check = \"all\"\nrate-limit = 200\n");
    assert_eq!(config.policy, expected.policy);
    assert_eq!(config.policy.rate_limit.map(u32::from), Some(200));
    assert_eq!(config.cross_check_databases, [Path::new("two.mmdb")]);
    let mut warnings = config.warnings();
    warnings.sort_unstable();
    assert_eq!(
        warnings,
        [
            "geofence.toml:1:1: the key `second-opinion` is now called `cross-check-databases`; rename it",
            "geofence.toml:2:1: the key `agreement` is now called `cross-check`; rename it",
            "geofence.toml:4:1: the key `pressure` is now called `rate-limit`; rename it",
        ]
    );
    assert_eq!(expected.warnings(), [""; 0]);
}
