//! A loaded filter with the programs that measure it, and runs of them.
//!
//! Each rig has one engine and one image. Time is the processor time of the calling thread, which other programs on
//! the machine lengthen less than they lengthen time on the wall; what a run costs beyond the program (the system call,
//! the kernel's loop) is in it, and is subtracted by subtracting a program that does less.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, PerCpuArray, PerCpuValues, ProgramArray};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::util::nr_cpus;
use geofence_common::action::Action;
use geofence_common::address::Address;
use geofence_common::flow::Table;
use geofence_common::maps::{INTERFACES_MAX, name};
use geofence_tests::namespace::Namespace;
use geofence_tests::processor_time;
use geofence_user::kernel::Filter;
use geofence_user::model::filter_options::FilterOptions;
use geofence_user::model::policy::Lookup;
use geofence_user::prepare::Prepared;
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::sets::Set;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/geofence"));

/// The shortest frame Ethernet knows, without its checksum.
pub(crate) const FRAME_MIN: usize = 60;
/// Frames that are in flight at once; fewer than a veth's queue holds, so that none is lost for want of room.
const BATCH: u32 = 64;

/// How often a set is gone through in a timed run.
const PASSES: u32 = 4;

/// Room in each table of flows: so much more than is put in that none is displaced.
const FLOWS: [u32; Table::ALL.len()] = [1 << 18, 1 << 10, 1 << 10];

/// The programs of the object, by what they do and for which family.
pub(crate) mod program {
    pub(crate) const DROP: &str = "drop";
    pub(crate) const FETCH: [&str; 2] = ["fetch_v4", "fetch_v6"];
    pub(crate) const LOOKUP: [&str; 2] = ["lookup_v4", "lookup_v6"];
    pub(crate) const BOTH: [&str; 2] = ["both_v4", "both_v6"];
    pub(crate) const VARY: [&str; 2] = ["vary_v4", "vary_v6"];
    pub(crate) const SEND: [&str; 2] = ["send_v4", "send_v6"];
}

/// Where a program takes addresses from and what it does with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) set: usize,
    /// Where in the frame the source address stands.
    pub(crate) source: usize,
    /// The interface to send out of.
    pub(crate) interface: u32,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) answer: u32,
    pub(crate) time: Duration,
}

pub(crate) struct Rig {
    filter: Filter,
    /// Where each set starts, and its size.
    sets: Vec<(u32, u32)>,
}

/// The sizes of the maps that a policy alone would have, its image without room to grow.
pub(crate) fn own_room(prepared: &Prepared) -> FilterOptions {
    FilterOptions {
        image_lines: prepared.image.lines().len() as u32,
        ..prepared.options(false)
    }
}

impl Rig {
    /// Loads everything with one engine, an image, and sets of addresses.
    pub(crate) fn load(prepared: &Prepared, lookup: Lookup, sets: &[Set]) -> Result<Self> {
        Self::with_room(own_room(prepared), prepared, lookup, sets)
    }

    /// As `load`, with maps of these sizes.
    pub(crate) fn with_room(
        room: FilterOptions,
        prepared: &Prepared,
        lookup: Lookup,
        sets: &[Set],
    ) -> Result<Self> {
        let mut places = Vec::new();
        let mut addresses: Vec<[u8; 16]> = Vec::new();
        for set in sets {
            let size = set.addresses.len();
            ensure!(
                size.is_power_of_two(),
                "a set of {size} addresses, which is no power of two"
            );
            places.push((u32::try_from(addresses.len())?, u32::try_from(size)?));
            addresses.extend(set.addresses.iter().map(bytes));
        }
        let options = FilterOptions {
            lookup,
            flows: FLOWS,
            ..room
        };
        let sizes = [("ADDRESSES", u32::try_from(addresses.len())?)];
        let mut filter = Filter::load_object(OBJECT, options, &sizes)
            .context("loading the programs that measure")?;
        let tries = match lookup {
            Lookup::ArrayTrie => None,
            Lookup::LpmTrie => Some(geofence_user::compile::LpmPrefixes {
                v4: prepared
                    .image
                    .prefixes_v4(&prepared.config.policy, &prepared.database)?,
                v6: prepared
                    .image
                    .prefixes_v6(&prepared.config.policy, &prepared.database)?,
            }),
        };
        filter.install(&prepared.image, tries.as_ref())?;

        let ebpf = filter.ebpf();
        let map = ebpf
            .map_mut("ADDRESSES")
            .context("the object has no ADDRESSES")?;
        let mut array: Array<_, [u8; 16]> = map.try_into()?;
        for (at, address) in (0..).zip(&addresses) {
            array.set(at, address, 0)?;
        }
        let names = [
            program::FETCH,
            program::LOOKUP,
            program::BOTH,
            program::VARY,
            program::SEND,
        ];
        for name in names.into_iter().flatten().chain([program::DROP]) {
            let program: &mut Xdp = ebpf
                .program_mut(name)
                .with_context(|| format!("no {name}"))?
                .try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
        }
        let mut rig = Self {
            filter,
            sets: places,
        };
        rig.hand_to(name::PROGRAM)?;
        Ok(rig)
    }

    /// Shows the egress program what leaves.
    pub(crate) fn send_out(&mut self, frame: &[u8]) -> Result<()> {
        let action = self.filter.send(frame)?;
        ensure!(action == Action::Pass, "a frame of ours does not leave");
        Ok(())
    }

    /// Chooses the program that `vary_*` hands frames to.
    pub(crate) fn hand_to(&mut self, name: &str) -> Result<()> {
        let ebpf = self.filter.ebpf();
        let next = xdp(ebpf, name)?.fd()?.try_clone()?;
        let map = ebpf.map_mut("NEXT").context("the object has no NEXT")?;
        let mut array: ProgramArray<_> = map.try_into()?;
        Ok(array.set(0, &next, 0)?)
    }

    /// Starts a set from its first address, on every CPU.
    pub(crate) fn aim(&mut self, cursor: &Cursor) -> Result<()> {
        self.spread(cursor, 1)
    }

    /// As `aim`; so many interfaces with neighbouring numbers, a power of two, take turns.
    pub(crate) fn spread(&mut self, cursor: &Cursor, interfaces: u32) -> Result<()> {
        let (first, size) = self.sets[cursor.set];
        let source = u32::try_from(cursor.source)?;
        let turns = interfaces - 1;
        let words = [first, size - 1, 0, source, cursor.interface, turns, 0, 0];
        let cpus = nr_cpus()
            .map_err(|(_, error)| error)
            .context("counting CPUs")?;
        let map = self
            .filter
            .ebpf()
            .map_mut("CURSOR")
            .context("the object has no CURSOR")?;
        let mut array: PerCpuArray<_, [u32; 8]> = map.try_into()?;
        Ok(array.set(
            0,
            PerCpuValues::try_from(vec![words; cpus.get() as usize])?,
            0,
        )?)
    }

    /// Gives an interface of some namespace counters of its own.
    pub(crate) fn count_apart(&mut self, interface: u32, slot: u32) -> Result<()> {
        let ebpf = self.filter.ebpf();
        let map = ebpf
            .map_mut(name::INTERFACES)
            .context("the object has no INTERFACES")?;
        let mut array: Array<_, u32> = map.try_into()?;
        Ok(array.set(interface % INTERFACES_MAX, &slot, 0)?)
    }

    /// How many addresses were taken since the set was started, on all CPUs.
    pub(crate) fn taken(&mut self) -> Result<u64> {
        let map = self
            .filter
            .ebpf()
            .map("CURSOR")
            .context("the object has no CURSOR")?;
        let array: PerCpuArray<_, [u32; 8]> = map.try_into()?;
        Ok(array
            .get(&0, 0)?
            .iter()
            .map(|words| u64::from(words[2]))
            .sum())
    }

    /// Runs a program on a frame as often as asked.
    pub(crate) fn run(&mut self, name: &str, frame: &[u8], repeat: u32) -> Result<Run> {
        let program = xdp(self.filter.ebpf(), name)?;
        run(program, frame, repeat)
    }

    /// What a run costs, in nanoseconds, over a set of so many addresses that the cursor points at.
    ///
    /// A pass over the set that is not timed comes first. Without it a run would be charged with fetching what the
    /// contestant before has displaced from the caches, which a filter under load pays for once.
    pub(crate) fn cost(&mut self, name: &str, frame: &[u8], addresses: usize) -> Result<f64> {
        let once = u32::try_from(addresses)?;
        self.run(name, frame, once)?;
        let repeat = PASSES * once;
        let run = self.run(name, frame, repeat)?;
        Ok(run.time.as_nanos() as f64 / f64::from(repeat))
    }

    /// Sends frames out of an interface of the namespace the caller is in, and returns what each took until it had
    /// met its fate. The kernel's own count, for the preparations of such a run take as long as half a million frames.
    pub(crate) fn send(&mut self, name: &str, frame: &[u8], repeat: u32) -> Result<Duration> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = repeat;
        options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
        let result = xdp(self.filter.ebpf(), name)?
            .test_run(options)
            .context("sending frames")?;
        Ok(result.duration)
    }

    /// The filter itself.
    pub(crate) fn filter(&mut self) -> &mut Filter {
        &mut self.filter
    }

    /// Attaches a program in native mode.
    pub(crate) fn attach(
        &mut self,
        name: &str,
        namespace: &Namespace,
        interface: &str,
    ) -> Result<()> {
        let program = self.program(name)?;
        namespace.enter(|| -> Result<()> {
            let index = if_nametoindex(interface)?;
            program.attach(index, XdpMode::Driver)?;
            Ok(())
        })?
    }

    /// A program, to run it from another thread.
    pub(crate) fn program(&mut self, name: &str) -> Result<&mut Xdp> {
        xdp(self.filter.ebpf(), name)
    }
}

fn xdp<'a>(ebpf: &'a mut aya::Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no {name}"))?;
    Ok(program.try_into()?)
}

/// Runs a program on a frame as often as asked.
pub(crate) fn run(program: &Xdp, frame: &[u8], repeat: u32) -> Result<Run> {
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.repeat = repeat;
    let begun = processor_time::of_thread()?;
    let result = program.test_run(options).context("running a program")?;
    let time = processor_time::of_thread()?.saturating_sub(begun);
    Ok(Run {
        answer: result.return_value,
        time,
    })
}

/// Keeps the calling thread, and those it starts, on one CPU.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("staying on CPU {cpu}"))
}

/// Does something while the calling thread, and those it starts, may use every CPU, as a daemon does that is left to
/// itself; afterwards it is back where it was.
pub(crate) fn everywhere<T>(what: impl FnOnce() -> Result<T>) -> Result<T> {
    let own = sched_getaffinity(Pid::from_raw(0)).context("asking which CPU this is")?;
    let mut all = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        all.set(cpu)?;
    }
    sched_setaffinity(Pid::from_raw(0), &all).context("leaving the CPU")?;
    let done = what();
    sched_setaffinity(Pid::from_raw(0), &own).context("coming back to the CPU")?;
    done
}

fn bytes(address: &Address) -> [u8; 16] {
    let [high, low] = address.words();
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}
