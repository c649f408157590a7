//! How much memory it takes to read a list. One test alone, because the memory is that of the process.

use anyhow::{Context as _, Result, ensure};
use geofence_user::data::lists::store::Store;
use geofence_user::data::lists::{LocalAddresses, load};
use geofence_user::model::list::{
    Action, Api, Definition, Direction, Format, Source, SpecialUseEntries,
};
use geofence_user::model::secret::Access;
use geofence_user::model::shortfall::Tolerance;
use geofence_user::model::units::UnixSeconds;
use geofence_user::os::memory;

/// What the kernel says of this process, in bytes.
fn bytes(field: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = value.and_then(|value| value.split_whitespace().next());
    Ok(number.context("no such field")?.parse::<u64>()? << 10)
}

#[test]
fn reading_a_list_takes_at_most_twice_the_memory_that_stays() -> Result<()> {
    memory::keep_large_apart();
    let place = tempfile::tempdir()?;
    let file = place.path().join("list.txt");
    let text: String = (0..2_000_000_u32)
        .map(|at| format!("{}\n", std::net::Ipv4Addr::from(0x0509_0000 + at)))
        .collect();
    std::fs::write(&file, text)?;
    let definition = Definition {
        name: "large".to_owned(),
        source: Source::File(file),
        format: Format::Plain,
        action: Action::Block,
        direction: Direction::In,
        // Each entry gets a time at which it expires.
        expires: Some(std::time::Duration::from_secs(86_400)),
        special_use: SpecialUseEntries::Skip,
        max_share: None,
        api: Api::None,
        access: Access::default(),
    };
    memory::give_back();
    // The peak counts from now on.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = bytes("VmRSS")?;
    let store = Store::at(place.path());
    let local = LocalAddresses::default();
    let now = UnixSeconds::now();
    let loaded = load(&[definition], &local, &store, now, Tolerance::Nothing)?;
    let peak = bytes("VmHWM")?.saturating_sub(before);
    memory::give_back();
    let stays = bytes("VmRSS")?.saturating_sub(before);
    ensure!(loaded.listings[0].entries().len() == 2_000_000);
    ensure!(peak <= 2 * stays, "{peak} bytes for {stays} that stay");
    Ok(())
}
