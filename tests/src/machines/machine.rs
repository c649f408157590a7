//! A machine: the archive it starts from, the emulator, and the rows it writes.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use super::archive::Archive;
use super::devices::emulate;
use super::kernels::Kernel;
use super::{disk, rows};
use crate::daemon;
use crate::lab::Scale;
use crate::lab::report::Row;

/// The programs that the laboratory needs, with Debian's names of their packages.
pub const PROGRAMS: [(&str, &str); 3] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("modprobe", "kmod"),
    ("ethtool", "ethtool"),
];

/// Those that only the whole form needs.
pub const PROGRAMS_OF_WHOLE: [(&str, &str); 1] = [("wg", "wireguard-tools")];

/// The programs that a machine has, besides ours.
const TOOLS: [&str; 6] = ["ip", "tc", "ethtool", "setpriv", "nsenter", "modprobe"];

/// The modules that a machine may load.
pub(super) const MODULES: [&str; 17] = [
    "veth",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "vmxnet3",
    "igb",
    "e1000e",
    "sch_ingress",
    "cls_bpf",
    "ip_gre",
    "ipip",
    "sit",
    "wireguard",
    "8021q",
    "bonding",
    "macvlan",
    "vrf",
];

/// The line that ends a machine's rows.
pub(super) const END: &str = "end";

/// How long a machine may take, in seconds: without hardware support a start of geofence takes some ten.
const SECONDS_MAX: &str = "3600";

/// Boots the kernels side by side and returns what their machines have seen; `say` hears which ones they are.
pub fn machines(kernels: &[Kernel], scale: Scale, say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    ensure!(
        !kernels.is_empty(),
        "there are no kernels to boot; `cargo xtask lab machines` fetches them"
    );
    let rows = thread::scope(|scope| {
        let mut machines = Vec::new();
        for (step, kernel) in (1..).zip(kernels) {
            say(&format!("step {step}: Linux {}", kernel.release));
            machines.push(scope.spawn(move || machine(kernel, step, scale)));
        }
        let rows = machines.into_iter().map(|machine| match machine.join() {
            Ok(rows) => rows,
            Err(_) => bail!("the thread of a machine panicked"),
        });
        rows.collect::<Result<Vec<_>>>()
    })?;
    Ok(rows.concat())
}

/// Boots a kernel, in the long form twice: what the first boot leaves on the disk, the second one finds.
fn machine(kernel: &Kernel, step: u8, scale: Scale) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("disk");
    File::create(&disk)?.set_len(disk::BYTES)?;
    let mut rows = Vec::new();
    let boots = if scale == Scale::Short { 1 } else { 2 };
    for _ in 0..boots {
        let seen = boot(kernel, step, scale, &disk);
        rows.extend(seen.with_context(|| format!("Linux {}", kernel.release))?);
    }
    Ok(rows)
}

fn boot(kernel: &Kernel, step: u8, scale: Scale, disk: &Path) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let [initrd, console] = ["initrd", "console"].map(|name| folder.path().join(name));
    std::fs::write(&initrd, archive(kernel, scale)?)?;
    let form = if scale == Scale::Short { "--short" } else { "" };
    let mut emulator = Command::new("timeout");
    emulator.args(["--kill-after=5", SECONDS_MAX, "qemu-system-x86_64"]);
    emulator.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]);
    // The largest configuration has two images of 511 MiB.
    let memory = if scale == Scale::Short {
        "2048"
    } else {
        "3584"
    };
    emulator.args([
        "-m",
        memory,
        "-display",
        "none",
        "-monitor",
        "none",
        "-no-reboot",
    ]);
    emulator.arg("-kernel").arg(kernel.image());
    emulator.arg("-initrd").arg(&initrd);
    // What the kernel does not know goes to the first program: variables, and behind the dashes its arguments.
    emulator.arg("-append").arg(format!(
        "console=ttyS0 panic=-1 mitigations=off rdinit=/usr/bin/geofence-lab PATH=/usr/bin -- guest {form}"
    ));
    emulator
        .arg("-serial")
        .arg(format!("file:{}", console.display()));
    emulator.args(["-serial", "stdio"]);
    let drive = format!("file={},format=raw,if=virtio", disk.display());
    emulator.args(["-drive", &drive]);
    emulate(&mut emulator);
    let mut machine = emulator
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the emulator")?;
    let output = machine
        .stdout
        .take()
        .context("the emulator has no output")?;
    let (mut seen, mut has_ended) = (Vec::new(), false);
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.trim() {
            END => has_ended = true,
            "" => {}
            line => seen.push(rows::read(line, step, &kernel.release)?),
        }
    }
    let status = machine.wait()?;
    if !has_ended {
        let console = std::fs::read(&console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        bail!("the machine stopped ({status}) before its end; its console ended with\n{end}");
    }
    Ok(seen)
}

fn archive(kernel: &Kernel, scale: Scale) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["proc", "sys", "dev", "tmp", "run", "var/lib", "usr/bin"] {
        archive.directory(directory)?;
    }
    let geofence = daemon::binary()?;
    let lab = geofence.with_file_name("geofence-lab");
    archive.program(&geofence, "usr/bin/geofence")?;
    archive.program(&lab, "usr/bin/geofence-lab")?;
    let more = PROGRAMS_OF_WHOLE.iter().map(|(program, _)| *program);
    let more = more.filter(|_| scale != Scale::Short);
    for tool in TOOLS.into_iter().chain(more) {
        archive.program(&find(tool)?, &format!("usr/bin/{tool}"))?;
    }
    let folder = format!("lib/modules/{}", kernel.release);
    let mut files = kernel.modules(&MODULES)?;
    for index in [
        "dep",
        "dep.bin",
        "alias",
        "alias.bin",
        "builtin",
        "builtin.bin",
        "symbols.bin",
    ] {
        files.push(format!("{folder}/modules.{index}"));
    }
    for file in files {
        // Which indexes there are depends on the tool that made them.
        if let Ok(contents) = std::fs::read(kernel.root.join(&file)) {
            archive.file(&file, &contents)?;
        }
    }
    archive.finish()
}

fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(Into::into));
    let mut places = folders.map(|folder| folder.join(program));
    places
        .find(|place| place.is_file())
        .with_context(|| format!("this machine has no {program}"))
}
