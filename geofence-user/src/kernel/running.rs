//! Finds the filter that runs on this machine by its pins, and reads its image and flows from the kernel.
//!
//! So an answer is about the active policy, whatever the files say. Nothing here runs the program that filters: a test
//! run counts as traffic, in the counters of exceptions and tenants too. `private_copy` loads one beside it.

use aya::Pod;
use aya::maps::{ArrayOfMaps, HashMap, Map, MapData, MapInfo};
use aya::programs::{ProgramInfo, loaded_programs};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::frame::Link;
use geofence_common::image::{LAYOUT, Line, MAGIC, Words as _, flag, header};
use geofence_common::maps::{IMAGE_BEFORE, IMAGE_IN_USE, name};

use super::error::KernelError;
use super::flows::read_flows;
use super::hook::Hook;
use super::image_map::ImageMap;
use super::pins::Pins;
use super::program_names::{programs, programs_with_rules};
use crate::os::clock::boot_now;
use crate::os::instance::Instance;

/// A running filter, with its image and flows at the time it was found.
pub struct Running {
    id: u32,
    /// Which devices its program is for.
    pub(super) link: Link,
    /// The kernel's hash of its instructions.
    pub(super) tag: u64,
    pub(super) lines: Vec<Line>,
    flows: Vec<(Table, FlowKey, Flow)>,
    /// The ids of its maps, by name.
    maps: Vec<(String, u32)>,
}

impl Running {
    /// Finds the filter of an instance, if it has one.
    pub fn find(instance: &Instance) -> Result<Option<Self>, KernelError> {
        let pins = Pins::of(instance);
        let mut programs = Vec::new();
        for index in pins.indexes()? {
            let id = pins.program(Hook::Ingress, index)?;
            programs.extend(id.and_then(find_program));
        }
        // Questions are Ethernet frames, so a program for those answers if there is one.
        let place = programs
            .iter()
            .position(|program| link_of(program) == Some(Link::Ethernet));
        let chosen = programs.into_iter().nth(place.unwrap_or(0));
        chosen.map(Self::open).transpose()
    }

    /// Whether the program with this id is a filter, of this process or another.
    #[must_use]
    pub fn is_filter(id: u32) -> bool {
        find_program(id).is_some_and(|program| link_of(&program).is_some())
    }

    fn open(info: ProgramInfo) -> Result<Self, KernelError> {
        let id = info.id();
        let mut lines = None;
        let mut flows = Vec::new();
        let mut maps = Vec::new();
        for map in info.map_ids()?.unwrap_or_default() {
            let map_info = MapInfo::from_id(map)
                .map_err(KernelError::map("reading a map of the running filter"))?;
            let name = map_info.name_as_str();
            maps.extend(name.map(|name| (name.to_owned(), map)));
            if name == Some(name::IMAGES) {
                lines = Some(read_image(map)?);
            }
            for table in Table::ALL {
                if name == Some(name::FLOWS[table as usize]) {
                    let failed = KernelError::map("reading the flows of the running filter");
                    let map = Map::from_map_data(MapData::from_id(map).map_err(&failed)?)
                        .map_err(&failed)?;
                    let read = read_flows(&map)?.into_iter();
                    flows.extend(read.map(|(key, flow)| (table, key, flow)));
                }
            }
        }
        let lines = lines.ok_or(KernelError::NoMap(name::IMAGES))?;
        let link = link_of(&info).unwrap_or(Link::Ethernet);
        Ok(Self {
            id,
            link,
            tag: info.tag(),
            lines,
            flows,
            maps,
        })
    }

    /// The id of the program, as bpftool shows it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The words of its image.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        self.lines.as_flattened()
    }

    /// Its flows, including expired ones.
    #[must_use]
    pub fn flows(&self) -> &[(Table, FlowKey, Flow)] {
        &self.flows
    }

    /// The datagrams whose first fragment passed.
    pub fn datagrams(&self) -> Result<Vec<(DatagramKey, Datagram)>, KernelError> {
        self.read(name::DATAGRAMS)
    }

    /// The states of the sources' rate limits.
    pub fn buckets(&self) -> Result<Vec<(RateLimitKey, u64)>, KernelError> {
        self.read(name::BUCKETS)
    }

    fn read<K: Pod, V: Pod>(&self, name: &'static str) -> Result<Vec<(K, V)>, KernelError> {
        let failed = KernelError::map("reading a table of the running filter");
        let found = self.maps.iter().find(|(found, _)| found == name);
        let (_, id) = found.ok_or(KernelError::NoMap(name))?;
        let map = Map::from_map_data(MapData::from_id(*id).map_err(&failed)?).map_err(&failed)?;
        let map: HashMap<MapData, K, V> = map.try_into().map_err(&failed)?;
        // An entry that is removed during the walk is left out.
        Ok(map.iter().filter_map(Result::ok).collect())
    }
}

/// The devices that a program of geofence is for, by its name.
fn link_of(program: &ProgramInfo) -> Option<Link> {
    let name = program.name_as_str()?;
    [Link::Ethernet, Link::Ip].into_iter().find(|link| {
        // The kernel cuts names.
        let [bare, _] = programs(*link);
        let [rules, _] = programs_with_rules(*link);
        name == bare || (name.len() > bare.len() && rules.starts_with(name))
    })
}

fn find_program(id: u32) -> Option<ProgramInfo> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
}

/// The image that packets read at this moment.
fn read_image(id: u32) -> Result<Vec<Line>, KernelError> {
    let failed = KernelError::map("reading the image of the running filter");
    let outer = Map::from_map_data(MapData::from_id(id).map_err(&failed)?).map_err(&failed)?;
    let outer: ArrayOfMaps<_, MapData> = outer.try_into().map_err(&failed)?;
    let read = |place: u32| read_one(&ImageMap::of(outer.get(&place, 0).map_err(&failed)?));
    let lines = read(IMAGE_IN_USE)?;
    let now = boot_now()?;
    if lines.as_slice().is_past_trial(|| now) {
        return read(IMAGE_BEFORE);
    }
    Ok(lines)
}

fn read_one(image: &ImageMap) -> Result<Vec<Line>, KernelError> {
    let memory = KernelError::io("reading the image of the running filter");
    let shape = KernelError::map("reading the shape of the running filter's image");
    if !image.has_this_shape().map_err(shape)? {
        return Err(KernelError::OtherVersion);
    }
    // The header says how many lines are in use.
    match image.read(1).map_err(&memory)?.first() {
        Some(line) if line[header::MAGIC] == MAGIC && line[header::LAYOUT] == LAYOUT => {
            let read = image.read(line[header::LINES] as usize);
            let mut lines = read.map_err(&memory)?;
            // Whether it is observed is no part of the policy.
            if let Some(head) = lines.first_mut() {
                head[header::FLAGS] &= !flag::OBSERVE;
            }
            Ok(lines)
        }
        _ => Err(KernelError::OtherVersion),
    }
}
