//! Every frame of the corpus, judged by the kernel and by the host.

use anyhow::{Context as _, Result, ensure};
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::kernel::Filter;
use geofence_user::os::clock::boot_now;
use geofence_user::prepare::Prepared;

use crate::corpus::corpus;

/// Addresses of a blocked country and of an open one, of both families.
const SOURCES: [&str; 4] = [
    "77.88.8.8",
    "84.200.69.80",
    "2a02:6b8::1",
    "2001:4860:4860::8888",
];

/// Checks that the running kernel gives each frame the host's verdict; returns how many frames that were.
pub fn corpus_agrees(prepared: &Prepared) -> Result<usize> {
    let mut filter = Filter::load(prepared.options(true))?;
    filter.install(&prepared.image, prepared.lpm_prefixes()?.as_ref())?;
    // First fragments that pass are remembered, by the kernel and here.
    let host = SimulatedTables::new(prepared.image.words(), PacketHistory::default());
    let mut cases = 0;
    for source in SOURCES {
        let destination = if source.contains(':') {
            "2001:db8::2"
        } else {
            "192.0.2.2"
        };
        // The kernel runs no test on a frame shorter than an Ethernet header.
        let frames = corpus(source.parse()?, destination.parse()?).into_iter();
        for (name, frame) in frames.filter(|(_, frame)| frame.len() >= 14) {
            host.set_now(boot_now()?);
            let expected = geofence_common::decide::filter(&frame.as_slice(), &host, &mut ());
            let kernel = filter.ask(&frame).with_context(|| name.to_owned())?;
            ensure!(
                kernel == expected,
                "{name} from {source}: the kernel says {kernel:?}, the host {expected:?}"
            );
            cases += 1;
        }
    }
    Ok(cases)
}
