//! The devices of a machine: the arguments of the emulator, and which mode each kernel must reach.

use std::process::Command;

/// A kind of device, at one MTU.
pub(super) struct Device {
    /// The emulator's name of the card, which is nearly the driver's, and what is added to it; none for a veth pair.
    pub(super) card: Option<&'static str>,
    pub(super) mtu: u32,
    /// The mode on Linux 6.1 and on 6.12.
    pub(super) modes: [&'static str; 2],
    /// Whether the short form has it.
    pub(super) is_short: bool,
}

const fn device(
    card: Option<&'static str>,
    mtu: u32,
    modes: [&'static str; 2],
    is_short: bool,
) -> Device {
    Device {
        card,
        mtu,
        modes,
        is_short,
    }
}

const NATIVE: [&str; 2] = ["native", "native"];
const GENERIC: [&str; 2] = ["generic", "generic"];

/// A card whose host joins no segments and leaves no checksum open.
const WITHOUT_OFFLOADS: &str =
    "virtio-net-pci,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off";

/// All devices.
pub(super) const DEVICES: [Device; 8] = [
    device(None, 1500, NATIVE, true),
    device(Some("virtio-net-pci"), 1500, NATIVE, true),
    device(Some("virtio-net-pci"), 3498, NATIVE, false),
    // Before 6.3 the driver takes no packets of several buffers.
    device(Some("virtio-net-pci"), 9000, ["generic", "native"], false),
    device(Some(WITHOUT_OFFLOADS), 1500, NATIVE, false),
    device(Some("vmxnet3"), 1500, ["generic", "native"], false),
    device(Some("igb"), 1500, NATIVE, false),
    device(Some("e1000e"), 1500, GENERIC, false),
];

impl Device {
    pub(super) fn name(&self) -> String {
        let card = self.card.unwrap_or("veth");
        let (card, options) = card.split_once(',').unwrap_or((card, ""));
        let driver = card.trim_end_matches("-pci").replace('-', "_");
        let without = if options.is_empty() {
            ""
        } else {
            ", without guest offloads"
        };
        format!("{driver}, MTU {}{without}", self.mtu)
    }
}

/// The cards of which a machine has two each, by number.
fn cards() -> Vec<&'static str> {
    let mut cards: Vec<_> = DEVICES.iter().filter_map(|device| device.card).collect();
    cards.dedup();
    cards
}

/// The MAC address of one of a card's two ends.
pub(super) fn mac(card: &str, end: usize) -> Option<String> {
    let number = cards().iter().position(|one| *one == card)?;
    Some(format!("52:54:00:00:{number:02x}:{end:02x}"))
}

/// Adds two of each card that the emulator has, joined by a hub.
pub(super) fn emulate(emulator: &mut Command) {
    let known = Command::new("qemu-system-x86_64")
        .args(["-device", "help"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    emulator.args(["-nic", "none"]);
    for (number, card) in cards().into_iter().enumerate() {
        let name = card.split(',').next().unwrap_or(card);
        if !known.contains(&format!("name \"{name}\"")) {
            continue;
        }
        for end in 0..2 {
            let id = format!("end{number}-{end}");
            emulator.arg("-netdev");
            emulator.arg(format!("hubport,id={id},hubid={number}"));
            emulator.arg("-device");
            let mac = mac(card, end).unwrap_or_default();
            emulator.arg(format!("{card},netdev={id},mac={mac},romfile="));
        }
    }
}
