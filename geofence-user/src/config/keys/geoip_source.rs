//! The keys of `[[geoip-source]]`.

use std::path::PathBuf;

use crate::config::access::{self, AccessDraft};
use crate::config::configuration::Config;
use crate::config::error::{Fault, Problem, quoted};
use crate::config::key::Key;
use crate::config::key_doc::Shape;
use crate::config::table::{Places, Table};
use crate::config::value::Inline;
use crate::config::{list_source, values};
use crate::model::geoip_source::{GeoipOrigin, GeoipSource, Vendor};
use crate::model::secret::SecretSource;
use crate::model::word::Word as _;

/// An entry that is being read.
#[derive(Default)]
pub(in crate::config) struct Draft {
    file: PathBuf,
    vendor: Option<Vendor>,
    edition: Option<String>,
    account: Option<String>,
    license_key: Option<Inline>,
    token: Option<Inline>,
    server: Option<String>,
    url: Option<String>,
    from: Option<PathBuf>,
    access: AccessDraft,
}

type K = Key<Draft>;

pub(in crate::config) fn table() -> Table<Draft> {
    Table {
        name: "geoip-source",
        meaning: "Where `geofence update` gets a database that this configuration names.",
        details: "There may be one for each file, each in a `[[geoip-source]]` of its own at the end of the file. A \
                  new database is read whole and compared with the data in use before it replaces the file; a running \
                  geofence then loads it by itself. Nothing else fetches. [GeoIP data](geoip.md) has the vendors, what \
                  they ask for, and their licences.",
        keys: keys(),
        finish,
    }
}

fn keys() -> Vec<K> {
    let mut keys = vec![
        K::text("file", "the path of an MMDB file", values::database, |draft| &mut draft.file)
            .required()
            .meaning("The file that is kept current: one of `databases`, `cross-check-databases` or `asn-database`.")
            .details(
                "A relative path starts at the directory of the configuration file. `geofence-update.service` may \
                 write to `/var/lib/geofence` alone.",
            )
            .example(r#"file = "/var/lib/geofence/country.mmdb""#)
            .refused("An empty path, a URL, and a file given twice."),
        K::word::<Vendor, _>("vendor", |draft| &mut draft.vendor)
            .required()
            .meaning("Who gives the database.")
            .example(r#"vendor = "maxmind""#),
        K::text("edition", "the name of a database", name, |draft| &mut draft.edition)
            .default("the free database of countries, or of autonomous systems for `asn-database`")
            .meaning("Which database of the vendor.")
            .example(r#"edition = "GeoLite2-Country""#)
            .refused("Other characters than letters, digits, `-` and `_`; a vendor without editions."),
        K::text("account", "an account number", name, |draft| &mut draft.account)
            .default("none; MaxMind needs it")
            .meaning("The number of the account with MaxMind.")
            .example(r#"account = "123456""#)
            .refused("Other characters than letters, digits, `-` and `_`; another vendor."),
        K::inline("license-key", "where the key is kept", Shape::Secret, |draft| &mut draft.license_key)
            .default("none; MaxMind needs it")
            .meaning("Where the licence key of MaxMind is kept.")
            .details("As for `header` of a list.")
            .example(r#"license-key = { credential = "maxmind" }"#)
            .refused("The key itself; another vendor."),
        K::inline("token", "where the token is kept", Shape::Secret, |draft| &mut draft.token)
            .default("none; IPinfo needs it")
            .meaning("Where the token of IPinfo is kept.")
            .details("As for `header` of a list.")
            .example(r#"# token = { credential = "ipinfo" }"#)
            .refused("The token itself; another vendor."),
        K::text("server", "a URL", list_source::url, |draft| &mut draft.server)
            .default("the vendor's")
            .meaning("The server to ask instead of the vendor's, such as a mirror in your network.")
            .example(r#"server = "https://mirror.example""#)
            .refused(
                "Anything but an `http` or `https` URL; plain http where a secret is sent; the vendors `url` and \
                 `copy`.",
            ),
        K::text("url", "a URL", list_source::url, |draft| &mut draft.url)
            .default("none; the vendor `url` needs it")
            .meaning("The URL of a database: MMDB, as it is or packed as .gz or .tar.gz.")
            .example(r#"# url = "https://data.example/country.mmdb.gz""#)
            .refused("Anything but an `http` or `https` URL; another vendor."),
        K::text("from", "the path of a file", values::database, |draft| &mut draft.from)
            .default("none; the vendor `copy` needs it")
            .meaning("The file that is checked and copied.")
            .example(r#"# from = "/mnt/share/country.mmdb.gz""#)
            .refused("An empty path, and a URL; another vendor."),
    ];
    keys.extend(
        access::keys(|draft: &mut Draft| &mut draft.access)
            .into_iter()
            .map(commented),
    );
    keys
}

/// A key whose example does not go with the other examples of the table.
fn commented(key: K) -> K {
    let example = match key.doc.name {
        "header" => r#"# header = { X-Api-Key = { credential = "data" } }"#,
        _ => key.doc.example,
    };
    key.example(example)
}

/// Reads the name of an edition, or the number of an account.
fn name(text: &str) -> Result<String, Problem> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_fit) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("{} is not a name that a vendor gives", quoted(text)),
        "letters, digits, `-` and `_`, 64 bytes at most",
        "write a name such as \"GeoLite2-Country\", or a number such as \"123456\"",
    ))
}

fn finish(config: &mut Config, draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let file = draft.file.clone();
    if config.geoip_sources.iter().any(|one| one.file == file) {
        let title = format!("{} has two sources", file.display());
        let problem = Problem::new(title, "given again here", "remove one of the two");
        faults.push(problem.at(places.of("file")));
        return;
    }
    match origin(draft, places) {
        Ok(origin) => config.geoip_sources.push(GeoipSource { file, origin }),
        Err(fault) => faults.push(*fault),
    }
}

/// The keys that each vendor takes, besides `file` and `vendor`.
const fn keys_of(vendor: Vendor) -> &'static [&'static str] {
    match vendor {
        Vendor::MaxMind => &["edition", "account", "license-key", "server"],
        Vendor::DbIp => &["edition", "server"],
        Vendor::IpInfo => &["edition", "token", "server"],
        Vendor::Url => &["url", "header", "basic", "bearer"],
        Vendor::Copy => &["from"],
    }
}

fn origin(draft: Draft, places: &Places) -> Result<GeoipOrigin, Box<Fault>> {
    let vendor = draft.vendor.unwrap_or(Vendor::Url);
    let taken = keys_of(vendor);
    let is_foreign = |key: &&&str| !taken.contains(*key) && !["file", "vendor"].contains(*key);
    if let Some(key) = places.keys.keys().find(is_foreign) {
        let problem = Problem::new(
            format!("the vendor \"{}\" does not use `{key}`", vendor.word()),
            "a key of another vendor",
            format!("remove it; this vendor takes {}", taken.join(", ")),
        );
        return Err(problem.at(places.of(key)).into());
    }
    let missing = |key: &str, example: &str| {
        Problem::new(
            format!("the vendor \"{}\" needs `{key}`", vendor.word()),
            format!("no `{key}` in this table"),
            format!("add a line such as: {example}"),
        )
        .at(places.entry.clone())
    };
    // A line with a secret is never shown, so what is wrong with it is reported at the heading.
    let secret = |key: &str, inline: Option<Inline>| -> Result<SecretSource, Box<Fault>> {
        let Some(inline) = inline else {
            return Err(missing(key, &format!("{key} = {{ credential = \"NAME\" }}")).into());
        };
        access::secret(key, &inline).map_err(|problem| problem.at(places.entry.clone()).into())
    };
    let Draft {
        edition, server, ..
    } = draft;
    let has_secret = matches!(vendor, Vendor::MaxMind | Vendor::IpInfo) || !draft.access.is_empty();
    let addresses = [&server, &draft.url];
    if has_secret
        && addresses
            .into_iter()
            .flatten()
            .any(|url| list_source::is_exposed(url))
    {
        return Err(list_source::exposed().at(places.entry.clone()).into());
    }
    let server = |vendors: &str| server.clone().unwrap_or_else(|| vendors.to_owned());
    Ok(match vendor {
        Vendor::MaxMind => GeoipOrigin::MaxMind {
            server: server("https://download.maxmind.com"),
            edition,
            account: draft
                .account
                .ok_or_else(|| missing("account", "account = \"123456\""))?,
            license_key: secret("license-key", draft.license_key)?,
        },
        Vendor::DbIp => GeoipOrigin::DbIp {
            server: server("https://download.db-ip.com"),
            edition,
        },
        Vendor::IpInfo => GeoipOrigin::IpInfo {
            server: server("https://ipinfo.io"),
            edition,
            token: secret("token", draft.token)?,
        },
        Vendor::Url => GeoipOrigin::Url {
            url: draft
                .url
                .ok_or_else(|| missing("url", "url = \"https://data.example/country.mmdb.gz\""))?,
            access: draft
                .access
                .read()
                .map_err(|problem| problem.at(places.entry.clone()))?,
        },
        Vendor::Copy => GeoipOrigin::File(
            draft
                .from
                .ok_or_else(|| missing("from", "from = \"/mnt/share/country.mmdb.gz\""))?,
        ),
    })
}
