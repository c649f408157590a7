//! The compiler itself: every part of an image in its place, and the header last.

use std::num::NonZeroU32;

use geofence_common::image::{
    CLASS_TABLE, FREE_LINE, LAYOUT, LEAF, LINE_SHIFT, LINE_WORDS, LINES_MAX, MAGIC, ROOT_LINES,
    ROOT_V4_LINE, ROOT_V6_LINE, SERVICES_LINES, TCP_SERVICES_LINE, UDP_SERVICES_LINE, flag, header,
};

use super::class_table::{ClassNumbers, ClassTable, ListSetTable};
use super::destination_policies::{DestinationPolicies, destination_keys};
use super::error::{CompileError, TooLarge};
use super::exceptions::Exceptions;
use super::host_table::HostTable;
use super::image::{Image, write_u64};
use super::list_sets::ListSets;
use super::mechanisms::Mechanisms;
use super::parallel::{at_once, for_both};
use super::port_rules::{self, when};
use super::prefix::Family;
use super::sources;
use super::target::Target;
use super::trie::{Full, Trie};
use super::trie_cursor::Cursor;
use crate::data::geoip::Database;
use crate::model::policy::{Policy, Replies, ServiceProtocol};

/// Compiles an image.
pub fn compile(
    policy: &Policy,
    database: &Database,
    target: &Target,
) -> Result<Image, CompileError> {
    compile_with(Mechanisms::ALL, policy, database, target)
}

/// Compiles an image by some of the mechanisms only.
pub fn compile_with(
    mechanisms: Mechanisms,
    policy: &Policy,
    database: &Database,
    target: &Target,
) -> Result<Image, CompileError> {
    let (countries, exceptions) = at_once(
        || for_both(|family| sources::countries(database, family)),
        || Exceptions::new(policy, target),
    );
    let exceptions = exceptions?;
    let lists = ListSets::new(policy);
    let mut numbers = ClassNumbers::new();
    let layers = for_both(|family| {
        let countries = &countries[family as usize];
        sources::class_keys(policy, countries, &exceptions, &lists, family)
    });
    drop(countries);
    let [mut v4, mut v6] = layers.map(|layer| numbers.number(layer));
    let hosts = if mechanisms.host_table {
        HostTable::take([&mut v4, &mut v6], |number| numbers.is_named(number))
    } else {
        HostTable::default()
    };
    let table = ClassTable::new(numbers);
    let flags = flags(policy, &exceptions, &lists);

    let mut lines = vec![[0; LINE_WORDS]; FREE_LINE];
    for (protocol, line) in [
        (ServiceProtocol::Tcp, TCP_SERVICES_LINE),
        (ServiceProtocol::Udp, UDP_SERVICES_LINE),
    ] {
        let section = port_rules::section(policy, 0, protocol);
        lines[line..line + SERVICES_LINES].copy_from_slice(&section);
    }
    let sets_at = lines.len() + table.line_count();
    let sets = ListSetTable::new(&lists, (sets_at as u32) << LINE_SHIFT);
    lines.extend(table.lines(policy, &exceptions, &sets));
    lines.extend_from_slice(&sets.lines);

    if !exceptions.is_empty() {
        let at = lines.len();
        lines.extend(exceptions.lines());
        let exceptions_at = (at as u32) << LINE_SHIFT;
        let pairs = exceptions.pair_table(exceptions_at);
        let pairs_at = lines.len() as u32;
        lines.extend(pairs.lines);
        let words = lines.as_flattened_mut();
        words[header::EXCEPTIONS] = exceptions_at;
        words[header::EXCEPTION_COUNT] = exceptions.count();
        words[header::PAIRS] = pairs_at;
        words[header::PAIR_LINES] = pairs.starts;
    }
    if hosts.line_count() > 0 {
        let at = (lines.len() as u32) << LINE_SHIFT;
        lines.extend(hosts.lines(|number| table.position(number)));
        let words = lines.as_flattened_mut();
        words[header::HOSTS] = at;
        words[header::HOST_LINES] = hosts.line_count();
    }
    let has_destinations = flags(0) & (flag::TENANTS | flag::TARGETS) != 0;
    let destinations = has_destinations.then(|| {
        let layers = Family::ALL.map(|family| destination_keys(policy, &exceptions, family));
        let all = layers.iter().flatten().map(|(_, key)| *key);
        let policies = DestinationPolicies::write(&mut lines, policy, &exceptions, &flags, all);
        let roots = [0, ROOT_LINES].map(|after| lines.len() + after);
        lines.resize(lines.len() + 2 * ROOT_LINES, [0; LINE_WORDS]);
        (layers, policies, roots)
    });
    let nodes_at = lines.len();

    let tries = for_both(|family| {
        let layer = [&v4, &v6][family as usize];
        let cursor = Cursor::new(family, layer, hosts.addresses(family), mechanisms);
        Trie::new(cursor, |number| table.leaf(number))
    });
    let mut fits = Ok(());
    for (root, trie) in [ROOT_V4_LINE, ROOT_V6_LINE].into_iter().zip(tries) {
        fits = fits.and(trie.and_then(|trie| trie.write(&mut lines, root)));
    }
    let mut roots_at = [0; 2];
    if let Some((layers, policies, roots)) = &destinations {
        roots_at = *roots;
        for (root, (family, layer)) in roots.iter().zip(Family::ALL.into_iter().zip(layers)) {
            let leaf = |key| LEAF | policies.position(key);
            let trie = Trie::new(Cursor::new(family, layer, &[], mechanisms), leaf);
            fits = fits.and(trie.and_then(|trie| trie.write(&mut lines, *root)));
        }
    }
    // A trie that does not fit was not written, so the lines written say nothing about its size.
    let count = match fits {
        Ok(()) => u32::try_from(lines.len()).unwrap_or(u32::MAX),
        Err(Full) => LINES_MAX as u32,
    };
    if fits.is_err() || count > target.lines_max {
        return Err(CompileError::TooLarge(TooLarge {
            lines: count,
            lines_max: target.lines_max.min(LINES_MAX as u32),
        }));
    }

    let words = lines.as_flattened_mut();
    words[header::MAGIC] = MAGIC;
    words[header::LAYOUT] = LAYOUT;
    words[header::GENERATION] = target.generation;
    words[header::FLAGS] = flags(0)
        | when(target.slot == 1, flag::SECOND_SLOT)
        | when(hosts.line_count() > 0, flag::HOSTS);
    write_u64(words, header::COMPILED, target.compiled.0);
    write_u64(words, header::MOMENT, target.compiled.0);
    write_u64(words, header::MOMENT_BOOT, target.boot.now);
    words[header::BOOT_ID] = target.boot.id;
    write_u64(words, header::DATA_BUILT, database.info().built().0);
    words[header::LINES] = count;
    words[header::CLASSES] = table.len() as u32;
    words[header::CLASS_TABLE] = CLASS_TABLE;
    words[header::NODES] = count - nodes_at as u32;
    words[header::PREFIXES_V4] = database.prefixes_v4().len() as u32;
    words[header::PREFIXES_V6] = database.prefixes_v6().len() as u32;
    words[header::DESTINATIONS_V4] = roots_at[0] as u32;
    words[header::DESTINATIONS_V6] = roots_at[1] as u32;
    words[header::TENANTS] = policy.tenants.len() as u32;
    words[header::LISTS] = sets.at;
    words[header::RATE_LIMIT] = policy.rate_limit.map_or(0, NonZeroU32::get);
    Ok(Image::sealed(lines))
}

/// The flags of the header (tenant 0) and of the destination policies of each tenant.
fn flags(policy: &Policy, exceptions: &Exceptions, lists: &ListSets) -> impl Fn(u32) -> u32 {
    let all = when(policy.replies == Replies::Mail, flag::REPLIES_MAIL)
        | when(policy.replies == Replies::All, flag::REPLIES_ALL)
        | when(policy.mta_sts, flag::MTA_STS)
        | when(!policy.tenants.is_empty(), flag::TENANTS)
        | when(exceptions.has_targets(), flag::TARGETS)
        | when(exceptions.is_anywhere, flag::ANYWHERE)
        | when(!exceptions.is_empty(), flag::EXCEPTIONS)
        | when(policy.rate_limit.is_some(), flag::RATE_LIMIT)
        | when(lists.has_any(), flag::LISTS)
        | when(lists.has_outbound(), flag::LISTS_OUT);
    move |tenant| all | port_rules::rule_flags(policy, tenant)
}
