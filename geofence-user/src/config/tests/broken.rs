//! Broken configurations: each is refused at the right place, with the offending text and the way out.

use crate::config::Config;

/// A line, the place of the error, the offending text, and what the message must say.
type Row = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip] // one row a line
const KEYS_AND_TYPES: &[Row] = &[
    ("moed = \"enforce\"", "1:1", "moed", "did you mean `mode`?"),
    ("allow_only = [\"DE\"]", "1:1", "allow_only", "did you mean `allow-only`?"),
    ("xdpmode = \"auto\"", "1:1", "xdpmode", "did you mean `xdp-mode`?"),
    ("blocked = [\"RU\"]", "1:1", "blocked", "did you mean `block`?"),
    ("interface = [\"eth0\"]", "1:1", "interface", "did you mean `interfaces`?"),
    ("database = []", "1:1", "database", "did you mean `databases`?"),
    ("Mode = \"enforce\"", "1:1", "Mode", "did you mean `mode`?"),
    ("zzz = 1", "1:1", "zzz", "the keys are interfaces, inner-interfaces, mode,"),
    ("\"\" = 1", "1:1", "\"\"", "there is no key an empty text"),
    ("\n\n  [policy]\nx = 1", "3:4", "policy", "the only tables are [[tenant]], [[exception]], [[protect]],"),
    ("mode = 1", "1:8", "1", "expected \"enforce\" or \"monitor\", found an integer"),
    ("mode = true", "1:8", "true", "found a boolean"),
    ("mode = [\"enforce\"]", "1:8", "[\"enforce\"]", "found a list"),
    ("mail.ports = [25]", "1:1", "mail", "found a table"),
    ("[unknown]\nx = 1", "1:2", "unknown", "found a table"),
    ("listen = 10317", "1:10", "10317", "for example: listen = \"[::1]:10317\""),
    ("block = \"RU, UA\"", "1:9", "\"RU, UA\"", "write block = [\"RU\", \"UA\"]"),
    ("services = \"tcp/443\"", "1:12", "\"tcp/443\"", "write services = [\"tcp/443\"]"),
    ("services = [443]", "1:13", "443", "expected a string, found an integer"),
    ("services = [\"tcp/1\", 1.5]", "1:22", "1.5", "found a number with a fraction"),
    ("block = [[\"RU\"]]", "1:10", "[\"RU\"]", "found a list"),
    ("[[block]]\nx = 1", "1:1", "[[block]]", "found a table"),
    ("capacity-mib = \"64\"", "1:16", "\"64\"", "write capacity-mib = 64"),
    ("capacity-mib = \"64M\"", "1:16", "\"64M\"", "for example: capacity-mib = 64"),
    ("capacity-mib = -1", "1:16", "-1", "expected 0 to 511"),
    ("capacity-mib = 512", "1:16", "512", "expected 0 to 511"),
    ("capacity-mib = 0xffff_ffff_ffff_ffff_ffff", "1:16", "0xffff_ffff_ffff_ffff_ffff", "expected 0 to 511"),
    ("capacity-mib = 1979-05-27", "1:16", "1979-05-27", "found a date"),
    ("mode = \"enforce\"\nmode = \"monitor\"", "2:1", "mode", "set twice"),
    ("\"mail\" = \"full\"\n\"mail\" = \"off\"", "2:1", "\"mail\"", "`mail` is set twice"),
];

#[rustfmt::skip] // one row a line
const LISTS: &[Row] = &[
    ("[list]\nname = \"a\"", "1:2", "list", "write [[list]] on a line of its own"),
    ("list = \"a\"", "1:1", "list", "expected [[list]], found a string"),
    ("list = [1]", "1:9", "1", "expected [[list]], found an integer"),
    ("[[lists]]\nname = \"a\"", "1:3", "lists", "did you mean `[[list]]`?"),
    ("[[list]]\nfile = \"a\"\nformat = \"plain\"", "1:1", "[[list]]", "needs the key `name`"),
    ("[[list]]\nname = \"a\"\nfile = \"a\"", "1:1", "[[list]]", "add a line such as: format = \"feodo\""),
    ("[[list]]\nname = \"a\"\nformat = \"plain\"", "1:1", "[[list]]", "neither `file` nor `url`"),
    ("[[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"\nurl = \"http://a\"", "5:1", "url", "two sources"),
    ("[[list]]\nnmae = \"a\"\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"", "2:1", "nmae", "did you mean `name`?"),
    (
        "[[list]]\nmode = \"x\"\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"",
        "2:1", "mode", "stand above the first table"
    ),
    ("[[list]]\nname = \"a b\"\nformat = \"plain\"\nfile = \"a\"", "2:8", "\"a b\"", "not a name for a list"),
    ("[[list]]\nname = \"../a\"\nformat = \"plain\"\nfile = \"a\"", "2:8", "\"../a\"", "a letter or digit"),
    ("[[list]]\nname = \"a\"\nformat = \"stixx\"\nfile = \"a\"", "3:10", "\"stixx\"", "did you mean \"stix\"?"),
    (
        "[[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"http://a\"",
        "4:8", "\"http://a\"", "write url = \"http://a\""
    ),
    ("[[list]]\nname = \"a\"\nformat = \"plain\"\nurl = \"/etc/a\"", "4:7", "\"/etc/a\"", "write file = \"/etc/a\""),
    ("[[list]]\nname = \"a\"\nformat = \"plain\"\nurl = \"ftp://a/b\"", "4:7", "\"ftp://a/b\"", "only http and https"),
    (
        "[[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"\naction = \"drop\"",
        "5:10", "\"drop\"", "\"block\" or \"alert\""
    ),
    (
        "[[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"\nexpires = \"7\"",
        "5:11", "\"7\"", "did you mean \"7d\""
    ),
    (
        "[[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"\nexpires = \"5s\"",
        "5:11", "\"5s\"", "less than a minute"
    ),
    ("[[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"\nexpires = 7", "5:11", "7", "found an integer"),
    (
        "[[list]]\nname = \"a\"\nformat = \"plain\"\nfile = \"a\"\n\
         [[list]]\nname = \"a\"\nformat = \"misp\"\nfile = \"b\"",
        "6:8", "\"a\"", "give one of the two another name",
    ),
];

#[rustfmt::skip] // one row a line
const SYNTAX: &[Row] = &[
    ("mode = enforce", "1:8", "enforce", "put the value in quotes"),
    ("block = [RU]", "1:10", "RU", "put the value in quotes"),
    ("mode", "1:5", "", "write `=` and a value"),
    ("mode: \"enforce\"", "1:7", "\"", "write `=` and a value"),
    ("= 1", "1:1", "=", "unquoted keys cannot be empty"),
    ("mode = \"enforce\" x", "1:18", "x", "a line is:"),
    ("block = [\"RU\"", "1:14", "", "end the list with `]`"),
    ("block = [\"RU\"]]", "1:15", "]", "a line is:"),
    ("mode = \"enforce", "1:16", "", "end the string"),
    ("databases = [\"C:\\geo\"]", "1:18", "g", "write a backslash as"),
    ("\tmode =\n", "1:8", "", "this is not TOML"),
    ("# ü\nunknown = 'pass\n", "2:16", "", "this is not TOML"),
    ("mode = \"enforce\"\u{7}", "1:17", "\u{7}", "this is not TOML"),
];

#[rustfmt::skip] // one row a line
const WORDS: &[Row] = &[
    ("mode = \"enforced\"", "1:8", "\"enforced\"", "did you mean \"enforce\"?"),
    ("mode = \"Monitor\"", "1:8", "\"Monitor\"", "did you mean \"monitor\"?"),
    ("mode = \"\"", "1:8", "\"\"", "write \"enforce\" or \"monitor\""),
    ("xdp-mode = \"driver\"", "1:12", "\"driver\"", "write \"native\", \"generic\" or \"auto\""),
    ("xdp-mode = \"genric\"", "1:12", "\"genric\"", "did you mean \"generic\"?"),
    ("lookup = \"array_trie\"", "1:10", "\"array_trie\"", "did you mean \"array-trie\"?"),
    ("lookup = \"lpm\"", "1:10", "\"lpm\"", "did you mean \"lpm-trie\"?"),
    ("mail = \"fully\"", "1:8", "\"fully\"", "did you mean \"full\"?"),
    ("unknown = \"block\"", "1:11", "\"block\"", "write \"pass\" or \"drop\""),
    ("special-use = \"dorp\"", "1:15", "\"dorp\"", "did you mean \"drop\"?"),
    ("icmp-echo = \"PASS\"", "1:13", "\"PASS\"", "did you mean \"pass\"?"),
];

#[rustfmt::skip] // one row a line
const COUNTRIES: &[Row] = &[
    ("block = [\"RU\", \"UK\"]", "1:16", "\"UK\"", "did you mean \"GB\" (United Kingdom)?"),
    ("block = [\"EN\"]", "1:10", "\"EN\"", "did you mean \"GB\""),
    ("block = [\"KO\"]", "1:10", "\"KO\"", "did you mean \"KP\" (North Korea)?"),
    ("block = [\"DPRK\"]", "1:10", "\"DPRK\"", "did you mean \"KP\""),
    ("block = [\n  \"Russia\",\n]", "2:3", "\"Russia\"", "did you mean \"RU\" (Russia)?"),
    ("block = [\"ru\"]", "1:10", "\"ru\"", "did you mean \"RU\""),
    ("block = [\"eu\"]", "1:10", "\"eu\"", "did you mean \"EU\"?"),
    ("block = [\"Europa\"]", "1:10", "\"Europa\"", "did you mean \"europe\"?"),
    ("allow-only = [\"Germny\"]", "1:15", "\"Germny\"", "did you mean \"DE\" (Germany)?"),
    ("block = [\"XX\"]", "1:10", "\"XX\"", "the key `unknown`"),
    ("block = [\"RX\"]", "1:10", "\"RX\"", "RE, RO, RS, RU, RW"),
    ("block = [\"\"]", "1:10", "\"\"", "write a code such as \"RU\""),
    ("block = [\"RU,UA\"]", "1:10", "\"RU,UA\"", "is not a country"),
    ("block = [\"RU\", \"BY\", \"RU\"]", "1:22", "\"RU\"", "`RU` is given twice"),
    ("block = [\"asia\", \"Asia\"]", "1:18", "\"Asia\"", "`Asia` is given twice"),
    ("allow-only = []", "1:14", "[]", "would block the whole world"),
    ("block = [\"RU\"]\nallow-only = [\"DE\"]", "2:1", "allow-only", "both set"),
    ("allow-only = [\"DE\"]\nblock = []", "2:1", "block", "both set"),
];

#[rustfmt::skip] // one row a line
const NETWORK: &[Row] = &[
    ("deny = [\"10.1.2.3/8\"]", "1:9", "\"10.1.2.3/8\"", "did you mean the network \"10.0.0.0/8\""),
    ("deny = [\"2001:db8::1/32\"]", "1:9", "\"2001:db8::1/32\"", "the network \"2001:db8::/32\""),
    ("deny = [\"::ffff:192.0.2.1\"]", "1:9", "\"::ffff:192.0.2.1\"", "write the IPv4 form: \"192.0.2.1/32\""),
    ("deny = [\"::ffff:192.0.2.0/120\"]", "1:9", "\"::ffff:192.0.2.0/120\"", "\"192.0.2.0/24\""),
    ("deny = [\"192.0.2.0/33\"]", "1:9", "\"192.0.2.0/33\"", "a number from 0 to 32"),
    ("deny = [\"2001:db8::/129\"]", "1:9", "\"2001:db8::/129\"", "a number from 0 to 128"),
    ("deny = [\"192.0.2.0/\"]", "1:9", "\"192.0.2.0/\"", "a number from 0 to 32"),
    ("deny = [\"192.0.2.0/+24\"]", "1:9", "\"192.0.2.0/+24\"", "a number from 0 to 32"),
    ("deny = [\"192.0.2.0/255.255.255.0\"]", "1:9", "\"192.0.2.0/255.255.255.0\"", "did you mean \"192.0.2.0/24\"?"),
    ("deny = [\"10/8\"]", "1:9", "\"10/8\"", "did you mean \"10.0.0.0/8\"?"),
    ("deny = [\"192.0.2.*\"]", "1:9", "\"192.0.2.*\"", "did you mean \"192.0.2.0/24\"?"),
    ("deny = [\" 192.0.2.1\"]", "1:9", "\" 192.0.2.1\"", "did you mean \"192.0.2.1/32\"?"),
    ("deny = [\"192.0.02.1\"]", "1:9", "\"192.0.02.1\"", "did you mean \"192.0.2.1/32\"?"),
    ("deny = [\"fe80::1%eth0\"]", "1:9", "\"fe80::1%eth0\"", "did you mean \"fe80::1/128\"?"),
    ("deny = [\"example.org\"]", "1:9", "\"example.org\"", "names are not looked up"),
    ("deny = [\"192.0.2.1-192.0.2.9\"]", "1:9", "\"192.0.2.1-192.0.2.9\"", "write an address or a prefix"),
    ("deny = [\"RU\"]", "1:9", "\"RU\"", "`RU` is not a prefix"),
    ("allow = [\"192.0.2.1\", \"192.0.2.1/32\"]", "1:23", "\"192.0.2.1/32\"", "is given twice"),
    ("management = [\"0.0.0.0/0\"]", "1:15", "\"0.0.0.0/0\"", "let the whole world manage"),
    ("management = [\"::/0\"]", "1:15", "\"::/0\"", "let the whole world manage"),
    ("listen = \"127.0.0.1\"", "1:10", "\"127.0.0.1\"", "did you mean \"127.0.0.1:10317\"?"),
    ("listen = \"localhost:9000\"", "1:10", "\"localhost:9000\"", "did you mean \"127.0.0.1:9000\"?"),
    ("listen = \":9000\"", "1:10", "\":9000\"", "did you mean \"127.0.0.1:9000\"?"),
    ("listen = \"::1\"", "1:10", "\"::1\"", "did you mean \"[::1]:10317\"?"),
    ("listen = \"http://127.0.0.1:9/\"", "1:10", "\"http://127.0.0.1:9/\"", "did you mean \"127.0.0.1:9\"?"),
    ("listen = \"127.0.0.1:99999\"", "1:10", "\"127.0.0.1:99999\"", "write \"127.0.0.1:10317\""),
    ("interfaces = [\"\"]", "1:15", "\"\"", "the name is empty"),
    ("interfaces = [\"eth0 \"]", "1:15", "\"eth0 \"", "did you mean \"eth0\"?"),
    ("interfaces = [\"/dev/eth0\"]", "1:15", "\"/dev/eth0\"", "`ip link` lists"),
    ("interfaces = [\"a/sixteen-bytes\"]", "1:15", "\"a/sixteen-bytes\"", "no blanks"),
    ("interfaces = [\"eth0\", \"eth0\"]", "1:23", "\"eth0\"", "is given twice"),
    ("databases = [\" \"]", "1:14", "\" \"", "the path is empty"),
    ("databases = [\"https://host/a\"]", "1:14", "\"https://host/a\"", "nothing is fetched"),
    ("databases = [\"a\\u0000b\"]", "1:14", "\"a\\u0000b\"", "zero byte"),
];

#[rustfmt::skip] // one row a line
const SYSTEMS: &[Row] = &[
    ("deny = [\"AS64500\"]", "1:9", "\"AS64500\"", "such as asn-database = \"/var/lib/geofence/asn.mmdb\""),
    ("allow = [\"10.0.0.0/8\", \"AS:Example\"]", "1:24", "\"AS:Example\"", "AS:Example is given, and `asn-database`"),
    ("asn-database = \"a\"\ndeny = [\"as64500\"]", "2:9", "\"as64500\"", "did you mean \"AS64500\"?"),
    ("asn-database = \"a\"\ndeny = [\"AS 64500\"]", "2:9", "\"AS 64500\"", "did you mean \"AS64500\"?"),
    ("asn-database = \"a\"\ndeny = [\"AS1.10\"]", "2:9", "\"AS1.10\"", "did you mean \"AS65546\"?"),
    ("asn-database = \"a\"\ndeny = [\"AS064500\"]", "2:9", "\"AS064500\"", "did you mean \"AS64500\"?"),
    ("asn-database = \"a\"\ndeny = [\"AS0\"]", "2:9", "\"AS0\"", "no network belongs to AS0"),
    ("asn-database = \"a\"\ndeny = [\"AS4294967296\"]", "2:9", "\"AS4294967296\"", "1 to 4294967295"),
    ("asn-database = \"a\"\ndeny = [\"AS: \"]", "2:9", "\"AS: \"", "there is no name"),
    ("asn-database = \"a\"\ndeny = [\"as:Example\"]", "2:9", "\"as:Example\"", "did you mean \"AS:Example\"?"),
    ("asn-database = \"a\"\ndeny = [\"AS1\", \"AS1\"]", "2:16", "\"AS1\"", "is given twice"),
    ("asn-database = \"a\"\nmanagement = [\"AS1\"]", "2:15", "\"AS1\"", "is not a prefix"),
    ("asn-database = \"https://host/a\"\ndeny = [\"AS1\"]", "1:16", "\"https://host/a\"", "or \"\" for none"),
    ("cross-check-databases = [\"http://host/a\"]", "1:26", "\"http://host/a\"", "nothing is fetched"),
    ("cross-check-databases = [\"a\", \"a\"]", "1:31", "\"a\"", "is given twice"),
    ("cross-check-databases = \"a\"", "1:25", "\"a\"", "write cross-check-databases = [\"a\"]"),
    ("cross-check = \"both\"", "1:15", "\"both\"", "write \"any\" or \"all\""),
    ("cross-check = \"alll\"", "1:15", "\"alll\"", "did you mean \"all\"?"),
    ("cross-check = 2", "1:15", "2", "expected \"any\" or \"all\", found an integer"),
    ("agreement = \"all\"\ncross-check = \"any\"", "2:1", "cross-check", "by its former name"),
    ("cross_check = \"all\"", "1:1", "cross_check", "did you mean `cross-check`?"),
    ("asn-databse = \"a\"", "1:1", "asn-databse", "did you mean `asn-database`?"),
    ("asn-database = []", "1:16", "[]", "for example: asn-database ="),
    (
        "[[exception]]\nid = \"a\"\nfrom = [\"AS1\"]\nto = [\"any\"]\nowner = \"a\"\nreason = \"b\"",
        "3:9", "\"AS1\"", "AS1 is given, and `asn-database` is not"
    ),
];

#[rustfmt::skip] // one row a line
const SERVICES: &[Row] = &[
    ("services = [\"tpc/443\"]", "1:13", "\"tpc/443\"", "did you mean \"tcp/443\"?"),
    ("services = [\"UDP/53\"]", "1:13", "\"UDP/53\"", "did you mean \"udp/53\"?"),
    ("services = [\"443/tcp\"]", "1:13", "\"443/tcp\"", "did you mean \"tcp/443\"?"),
    ("services = [\"tcp:443\"]", "1:13", "\"tcp:443\"", "did you mean \"tcp/443\"?"),
    ("services = [\"443\"]", "1:13", "\"443\"", "write \"tcp/443\" or \"udp/443\""),
    ("services = [\"icmp/8\"]", "1:13", "\"icmp/8\"", "only the ports of \"tcp\" and \"udp\""),
    ("services = [\"tcp/0\"]", "1:13", "\"tcp/0\"", "there is no port 0"),
    ("services = [\"tcp/0-1\"]", "1:13", "\"tcp/0-1\"", "there is no port 0"),
    ("services = [\"tcp/65536\"]", "1:13", "\"tcp/65536\"", "`65536` is not a port"),
    ("services = [\"tcp/https\"]", "1:13", "\"tcp/https\"", "`https` is not a port"),
    ("services = [\"tcp/+1\"]", "1:13", "\"tcp/+1\"", "`+1` is not a port"),
    ("services = [\"tcp/\"]", "1:13", "\"tcp/\"", "ports are numbers from 1 to 65535"),
    ("services = [\"tcp/20-10\"]", "1:13", "\"tcp/20-10\"", "did you mean \"tcp/10-20\"?"),
    ("services = [\"tcp/10 - 20\"]", "1:13", "\"tcp/10 - 20\"", "did you mean \"tcp/10-20\"?"),
    ("services = [\"smtp\"]", "1:13", "\"smtp\"", "write protocol/port"),
    ("services = [\"tcp/1\", \"tcp/1\"]", "1:22", "\"tcp/1\"", "is given twice"),
];

macro_rules! list {
    ($rest:literal) => {
        concat!(
            "[[list]]\nname = \"a\"\nurl = \"https://a.example\"\nformat = \"plain\"\n",
            $rest
        )
    };
}

macro_rules! source {
    ($rest:literal) => {
        concat!("[[geoip-source]]\nfile = \"a.mmdb\"\n", $rest)
    };
}

macro_rules! correction {
    ($rest:literal) => {
        concat!("[[geo-override]]\nreason = \"a\"\n", $rest)
    };
}

const LIST: (&str, &str) = ("1:1", "[[list]]");
const SOURCE: (&str, &str) = ("1:1", "[[geoip-source]]");

#[rustfmt::skip] // one row a line
const DATA: &[Row] = &[
    (correction!("prefix = \"5.0.0.1/24\"\ncountry = \"DE\""), "3:10", "\"5.0.0.1/24\"", "did you mean the network"),
    (correction!("prefix = \"5.0.0.0/24\"\ncountry = \"EU\""), "4:11", "\"EU\"", "is a group of countries"),
    (correction!("prefix = \"5.0.0.0/24\"\ncountry = \"UK\""), "4:11", "\"UK\"", "did you mean \"GB\""),
    (correction!("prefix = \"5.0.0.0/24\""), "1:1", "[[geo-override]]", "needs the key `country`"),
    (list!("bearer = \"key\""), LIST.0, LIST.1, "where the secret is kept"),
    (list!("bearer = 5"), LIST.0, LIST.1, "where the secret is kept"),
    (list!("bearer = { token = \"key\" }"), LIST.0, LIST.1, "where the secret is kept"),
    (list!("bearer = { file = \"key\" }"), LIST.0, LIST.1, "by its whole path"),
    (list!("bearer = { credential = \"../key\" }"), LIST.0, LIST.1, "names no credential"),
    (list!("header = { \"a b\" = { credential = \"a\" } }"), LIST.0, LIST.1, "no header can have"),
    (list!("basic = { user = \"a\" }"), LIST.0, LIST.1, "is a user and where"),
    (list!("api = \"taxii\""), "5:1", "api", "write format = \"stix\""),
    (source!("vendor = \"dbip\""), "3:10", "\"dbip\"", "did you mean \"db-ip\"?"),
    (source!("vendor = \"maxmind\"\naccount = \"1\""), SOURCE.0, SOURCE.1, "needs `license-key`"),
    (source!("vendor = \"db-ip\"\naccount = \"1\""), "4:1", "account", "does not use `account`"),
    (source!("vendor = \"ipinfo\"\ntoken = \"key\""), SOURCE.0, SOURCE.1, "where the secret is kept"),
    (source!("vendor = \"copy\""), SOURCE.0, SOURCE.1, "needs `from`"),
    (
        "[[list]]\nname = \"a\"\nurl = \"http://a.example\"\nformat = \"plain\"\nbearer = { credential = \"a\" }",
        LIST.0, LIST.1, "sent over plain http"
    ),
    (
        "[[list]]\nname = \"a\"\nfile = \"a\"\nformat = \"plain\"\nbearer = { credential = \"a\" }",
        LIST.0, LIST.1, "has no server that wants"
    ),
    ("[[list]]\nname = \"a\"\nfile = \"a\"\nformat = \"misp\"\napi = \"misp\"", "5:1", "api", "has no interface"),
    (
        source!("vendor = \"ipinfo\"\ntoken = { credential = \"a\" }\nserver = \"http://a.example\""),
        SOURCE.0, SOURCE.1, "sent over plain http"
    ),
];

#[test]
fn each_broken_file_is_refused_at_the_right_place_with_the_way_out() {
    let rows = [
        KEYS_AND_TYPES,
        LISTS,
        SYNTAX,
        WORDS,
        COUNTRIES,
        NETWORK,
        SYSTEMS,
        SERVICES,
        DATA,
    ]
    .concat();
    let mut wrong = Vec::new();
    for (text, place, offending, says) in rows {
        let Err(errors) = Config::parse(text, "broken.toml") else {
            wrong.push(format!("{text}\n  was accepted"));
            continue;
        };
        let fault = errors.faults().next().unwrap();
        let found = (format!("{}:{}", fault.line, fault.column), fault.text);
        let shown = errors.render(false);
        let expected = [says.to_owned(), format!("broken.toml:{place}\n")];
        if errors.count() != 1
            || (found.0.as_str(), found.1) != (place, offending)
            || !expected.iter().all(|part| shown.contains(part))
        {
            wrong.push(format!(
                "{text}\n  expected {place} {offending:?} {says:?}, found {found:?}\n{shown}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_errors_of_a_file_are_reported_in_its_order() {
    let text = r#"deny = ["10.0.0.1/8", "x", 5]
moed = 1
block = ["UK", "RU", "RU"]
mail = "of"
mail = "off"
"#;
    let errors = Config::parse(text, "broken.toml").unwrap_err();
    let places: Vec<_> = errors
        .faults()
        .map(|fault| (fault.line, fault.text.to_owned()))
        .collect();
    let expected = [
        (1, "\"10.0.0.1/8\""),
        (1, "\"x\""),
        (1, "5"),
        (2, "moed"),
        (3, "\"UK\""),
        (3, "\"RU\""),
        (4, "\"of\""),
        (5, "mail"),
    ];
    assert_eq!(places, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn a_file_that_is_something_else_does_not_fill_the_screen() {
    let text: String = (0..501).map(|n| format!("k{n}k = 1\n")).collect();
    let errors = Config::parse(&text, "broken.toml").unwrap_err();
    assert_eq!(errors.count(), 501);
    let shown = errors.render(false);
    assert_eq!(shown.matches("error: ").count(), 50);
    assert!(shown.ends_with("and 451 more errors"), "{shown}");
}
