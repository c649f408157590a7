//! How much memory it takes to read a list or a database. One test alone, because the memory is that of the process.

use anyhow::{Context as _, Result, anyhow, ensure};
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_user::data::geoip::Database;
use geofence_user::data::lists::store::Store;
use geofence_user::data::lists::{LocalAddresses, load};
use geofence_user::model::list::{
    Action, Api, Definition, Direction, Format, Source, SpecialUseEntries,
};
use geofence_user::model::secret::Access;
use geofence_user::model::shortfall::Tolerance;
use geofence_user::model::units::UnixSeconds;
use geofence_user::os::memory;
use ipnet::Ipv4Net;

/// What the kernel says of this process in one of the files of /proc/self, in bytes.
fn bytes(file: &str, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}"))?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = value.and_then(|value| value.split_whitespace().next());
    Ok(number.context("no such field")?.parse::<u64>()? << 10)
}

/// Checks that reading takes at most twice the memory that stays, and returns what was read.
fn read_within<T>(what: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    memory::give_back();
    // The peak counts from now on.
    std::fs::write("/proc/self/clear_refs", "5")?;
    // Counted page by page: the count in `status` is that of several cores, and may be half a megabyte off.
    let resident = || bytes("smaps_rollup", "Rss");
    let before = resident()?;
    let contents = read()?;
    let peak = bytes("status", "VmHWM")?.saturating_sub(before);
    memory::give_back();
    let stays = resident()?.saturating_sub(before);
    ensure!(stays > 1 << 20, "{what}: nothing stays: {stays}");
    ensure!(
        peak <= 2 * stays,
        "{what}: {peak} bytes for {stays} that stay"
    );
    Ok(contents)
}

#[test]
fn reading_takes_at_most_twice_the_memory_that_stays() -> Result<()> {
    memory::keep_large_apart();
    let place = tempfile::tempdir()?;
    let address = |at: u32| std::net::Ipv4Addr::from(0x0509_0000 + at);
    let plain = || -> String {
        (0..2_000_000)
            .map(|at| format!("{}\n", address(at)))
            .collect()
    };
    let crowdsec = || {
        let decisions: Vec<_> = (0..500_000)
            .map(|at| {
                let value = address(at);
                format!("{{\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"{value}\",\"duration\":\"4h\"}}")
            })
            .collect();
        format!("{{\"new\":[{}],\"deleted\":null}}", decisions.join(","))
    };
    let stix = || {
        let objects: Vec<_> = (0..200_000)
            .map(|at| {
                let value = address(at);
                format!(
                    "{{\"type\":\"indicator\",\"id\":\"indicator--{at}\",\"pattern_type\":\"stix\",\
                     \"pattern\":\"[ipv4-addr:value = '{value}']\",\"valid_from\":\"2026-01-01T00:00:00Z\"}}"
                )
            })
            .collect();
        format!(
            "{{\"type\":\"bundle\",\"objects\":[{}]}}",
            objects.join(",")
        )
    };
    let texts: [(Format, &(dyn Fn() -> String + Sync), usize); 3] = [
        (Format::Plain, &plain, 2_000_000),
        (Format::Crowdsec, &crowdsec, 500_000),
        (Format::Stix, &stix, 200_000),
    ];
    for (format, text, count) in texts {
        let file = place.path().join("list");
        // By a thread of its own, whose freed memory is not what the reading takes.
        std::thread::scope(|scope| scope.spawn(|| std::fs::write(&file, text())).join())
            .map_err(|_| anyhow!("the text was not made"))??;
        let definition = Definition {
            name: "large".to_owned(),
            source: Source::File(file),
            format,
            action: Action::Block,
            direction: Direction::In,
            // Each entry gets a time at which it expires.
            expires: Some(std::time::Duration::from_secs(86_400)),
            special_use: SpecialUseEntries::Skip,
            max_share: None,
            api: Api::None,
            access: Access::default(),
        };
        let store = Store::at(place.path());
        let local = LocalAddresses::default();
        let now = UnixSeconds::now();
        let loaded = read_within(&format!("{format:?}"), || {
            let loaded = load(&[definition], &local, &store, now, Tolerance::Nothing)?;
            Ok(loaded)
        })?;
        ensure!(loaded.listings[0].entries().len() == count, "{format:?}");
    }

    let mut writer = Writer::new(Schema::Flat);
    // So many that the error of the peak's count, which has no exact one, is small beside them.
    for at in 0..800_000_u32 {
        let net = Ipv4Net::new(std::net::Ipv4Addr::from(0x0500_0000 + (at << 6)), 26)?;
        writer.add_code(net.into(), if at % 2 == 0 { "RU" } else { "DE" });
    }
    let database = writer.finish();
    let file = place.path().join("country.mmdb");
    for (what, contents) in [
        ("zstd", zstd::encode_all(database.as_slice(), 1)?),
        ("database", database),
    ] {
        std::fs::write(&file, contents)?;
        let read = || Ok(Database::open_with_readers(std::slice::from_ref(&file))?);
        let (read, _readers) = read_within(what, read)?;
        drop(read);
    }
    Ok(())
}
