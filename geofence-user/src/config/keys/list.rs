//! The keys of `[[list]]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::access::{self, AccessDraft};
use crate::config::configuration::Config;
use crate::config::error::{Fault, Problem, quoted};
use crate::config::key::Key;
use crate::config::list_source;
use crate::config::table::{Places, Table};
use crate::model::list::{Action, Api, Definition, Direction, Format, Source, SpecialUseEntries};
use crate::model::word::Word as _;

/// An entry that is being read.
pub(in crate::config) struct Draft {
    name: String,
    file: Option<PathBuf>,
    url: Option<String>,
    format: Format,
    action: Action,
    direction: Direction,
    expires: Option<Duration>,
    special_use: SpecialUseEntries,
    max_share: Option<u8>,
    api: Api,
    access: AccessDraft,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: String::new(),
            file: None,
            url: None,
            format: Format::Plain,
            action: Action::Block,
            direction: Direction::Both,
            expires: None,
            special_use: SpecialUseEntries::default(),
            max_share: None,
            api: Api::None,
            access: AccessDraft::default(),
        }
    }
}

const NO_SOURCE: &str = "none; one of `file` and `url` must be given";

type K = Key<Draft>;

pub(in crate::config) fn table() -> Table<Draft> {
    Table {
        name: "list",
        meaning: "A third-party list of addresses: indicators of compromise, or a block list.",
        details: "There may be any number of lists, each in a `[[list]]` of its own at the end of the file. \
                  [Lists](lists.md) says how they are fetched, how a broken list is kept out, and which formats there \
                  are.",
        keys: keys(),
        finish,
    }
}

fn keys() -> Vec<K> {
    let mut keys = vec![
            K::text("name", "a name", list_source::name, |draft| &mut draft.name)
                .required()
                .meaning("The name of the list in messages, metrics and commands.")
                .example(r#"name = "feodo""#)
                .refused(
                    "More than 64 bytes, other characters than letters, digits, `.`, `_` and `-`, a first character \
                     that is no letter or digit, and a name given twice.",
                ),
            K::text("url", "a URL", list_source::url, |draft| &mut draft.url)
                .default(NO_SOURCE)
                .meaning("Where `geofence update` fetches the list.")
                .details("Nothing else fetches it: the filter uses the last copy fetched.")
                .example(r#"url = "https://lists.example/feodo.csv""#)
                .refused("Anything but an `http` or `https` URL; both `url` and `file`."),
            K::text("file", "the path of a file", list_source::file, |draft| &mut draft.file)
                .default(NO_SOURCE)
                .meaning("The file that has the list, instead of `url`.")
                .details("A relative path starts at the directory of the configuration file.")
                .example(r#"# file = "/etc/geofence/feodo.csv""#)
                .refused("An empty path and a URL. Whether the file has a list is checked when it is read."),
            K::word::<Format, _>("format", |draft| &mut draft.format)
                .required()
                .meaning("The format of the list.")
                .example(r#"format = "feodo""#),
            K::word::<Api, _>("api", |draft| &mut draft.api)
                .default("`\"none\"`")
                .meaning("The interface of the server, where the URL is not that of a list.")
                .details(
                    "`url` is then the address of the server or collection, and `format` the format of what the \
                     interface gives: `\"crowdsec\"`, `\"stix\"` for TAXII, `\"misp\"`. \
                     [Lists](lists.md#servers-with-an-interface) has examples.",
                )
                .example(r#"# api = "crowdsec""#)
                .refused("Other words, with the nearest; an interface without `url`, or with another format."),
            K::word::<Action, _>("action", |draft| &mut draft.action)
                .default("`\"block\"`")
                .meaning("What happens to packets that match the list.")
                .details(
                    "`management` and `allow` come before a list: their sources are neither dropped nor counted by it. \
                     Exceptions, and the replies to what they admit, come before a list that blocks.",
                )
                .example(r#"action = "block""#),
            K::word::<Direction, _>("direction", |draft| &mut draft.direction)
                .default("`\"both\"`")
                .meaning("Which packets are compared with the list.")
                .example(r#"direction = "both""#),
            K::text("expires", "a duration such as \"12h\" or \"30d\"", list_source::expires, |draft| {
                &mut draft.expires
            })
            .default("none: entries stay as long as they are on the list")
            .meaning("How long an entry stays when the list is not refreshed.")
            .details(
                "The time runs from when the list was last fetched, or found unchanged at its source, or from when its \
                 file was last written. An entry with an expiry of its own expires at the earlier time.",
            )
            .example(r#"expires = "7d""#)
            .refused(
                "Anything but a duration, less than a minute, and more than ten years. Units are `s`, `m`, `h`, `d` \
                 and `w`.",
            ),
            K::word::<SpecialUseEntries, _>("special-use", |draft| &mut draft.special_use)
                .default("`\"refuse\"`")
                .meaning("What happens to entries in special-use space: private, loopback, documentation and the like.")
                .details("An entry that has public addresses as well is refused in either case.")
                .example(r#"special-use = "skip""#),
            K::number(
                "max-share",
                1..=100,
                ("share of the address space", "write a whole number of percent, such as 25"),
                |draft, percent| draft.max_share = u8::try_from(percent).ok(),
            )
            .default("10, and no entry that is far shorter than the usual one")
            .meaning(
                "How much a list may cover of the public addresses, and of the traffic that passes now, in percent.",
            )
            .details(
                "A list that covers more is refused, because a few short prefixes can cover the internet. IPv4 and \
                 IPv6 are judged apart, IPv6 by the blocks of the registries. The traffic is what the running \
                 filter has counted, ten thousand packets at least: a list's part of a country's addresses stands \
                 for its part of the country's packets. With this key, the shares alone decide, and single entries \
                 are not judged.",
            )
            .example("max-share = 25")
            .refused("Anything but 1 to 100."),
    ];
    keys.extend(access::keys(|draft: &mut Draft| &mut draft.access));
    keys
}

fn finish(config: &mut Config, draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let source = match (draft.file, draft.url) {
        (Some(file), None) => Source::File(file),
        (None, Some(url)) => Source::Url(url),
        (None, None) => {
            let problem = Problem::new(
                format!("the list {} has no source", quoted(&draft.name)),
                "neither `file` nor `url` in this table",
                "add a line such as: file = \"/etc/geofence/list.txt\", or url = \"https://...\"",
            );
            faults.push(problem.at(places.entry.clone()));
            return;
        }
        (Some(_), Some(_)) => {
            let problem = Problem::new(
                format!("the list {} has two sources", quoted(&draft.name)),
                "the other",
                "keep `file` for a file of this machine, or `url` for what `geofence update` fetches",
            );
            let fault = problem.at(places.of("url"));
            faults.push(fault.and(places.of("file"), "one of the two"));
            return;
        }
    };
    let has_access = !draft.access.is_empty();
    let access = match draft.access.read() {
        Ok(access) => access,
        Err(problem) => {
            faults.push(problem.at(places.entry.clone()));
            return;
        }
    };
    if has_access && let Some(problem) = list_source::unfit_for_secrets(&source) {
        faults.push(problem.at(places.entry.clone()));
        return;
    }
    if let Some(format) = draft.api.format() {
        let problem = if matches!(source, Source::File(_)) {
            Some((
                "a list in a file has no interface",
                "remove `api`, or replace `file` by `url`".to_owned(),
            ))
        } else if draft.format != format {
            let help = format!("write format = \"{}\"", format.word());
            Some(("the interface gives another format", help))
        } else {
            None
        };
        if let Some((title, help)) = problem {
            faults.push(Problem::new(title, "not with this interface", help).at(places.of("api")));
            return;
        }
    }
    config.lists.push(Definition {
        name: draft.name,
        source,
        format: draft.format,
        action: draft.action,
        direction: draft.direction,
        expires: draft.expires,
        special_use: draft.special_use,
        max_share: draft.max_share,
        api: draft.api,
        access,
    });
}
