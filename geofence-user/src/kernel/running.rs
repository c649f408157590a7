//! A filter that runs on this machine already: found by its pins, asked without disturbing it.
//!
//! Its image is read from the kernel, so an answer is about what it filters by now, whatever the files say. A question
//! is counted in slot 0, which no interface has.

use std::borrow::Cow;

use aya::maps::{ArrayOfMaps, Map, MapData, MapInfo};
use aya::programs::{
    ProgramError, ProgramInfo, TestRun as _, TestRunOptions, Xdp, loaded_programs,
};
use aya_obj::programs::XdpAttachType;
use geofence_common::action::Action;
use geofence_common::flow::{Flow, FlowKey, Table};
use geofence_common::image::{LAYOUT, Line, MAGIC, Words as _, header};
use geofence_common::maps::{IMAGE_BEFORE, IMAGE_IN_USE, name};

use super::ask::to_action;
use super::filter::{LoadError, map_error};
use super::flows;
use super::image_map::ImageMap;
use super::pins::Pins;
use crate::os::clock::boot_now;
use crate::os::instance::Instance;

/// A running filter, and its image as it was when the filter was found.
pub struct Running {
    id: u32,
    program: Xdp,
    lines: Vec<Line>,
    flows: Vec<(Table, FlowKey, Flow)>,
}

impl Running {
    /// Finds the filter of an instance, if it has one.
    pub fn find(instance: &Instance) -> Result<Option<Self>, LoadError> {
        let pins = Pins::of(instance);
        let mut found = None;
        for index in pins.indexes()? {
            found = pins.program(index)?;
            if found.is_some() {
                break;
            }
        }
        let Some(id) = found else {
            return Ok(None);
        };
        let found = loaded_programs()
            .filter_map(Result::ok)
            .find(|program| program.id() == id);
        found.map(Self::open).transpose()
    }

    /// Whether the program with this number is a filter, of this process or of another.
    #[must_use]
    pub fn is_filter(id: u32) -> bool {
        loaded_programs()
            .filter_map(Result::ok)
            .any(|program| program.id() == id && program.name_as_str() == Some(name::PROGRAM))
    }

    fn open(info: ProgramInfo) -> Result<Self, LoadError> {
        let id = info.id();
        let mut lines = None;
        let mut flows = Vec::new();
        for map in info.map_ids()?.unwrap_or_default() {
            let map_info =
                MapInfo::from_id(map).map_err(map_error("reading a map of the running filter"))?;
            if map_info.name_as_str() == Some(name::IMAGES) {
                lines = Some(read_image(map)?);
            }
            for table in Table::ALL {
                if map_info.name_as_str() == Some(name::FLOWS[table as usize]) {
                    let failed = map_error("reading the flows of the running filter");
                    let map = Map::from_map_data(MapData::from_id(map).map_err(&failed)?)
                        .map_err(&failed)?;
                    let read = flows::read(&map)?.into_iter();
                    flows.extend(read.map(|(key, flow)| (table, key, flow)));
                }
            }
        }
        let lines = lines.ok_or(LoadError::NoMap(name::IMAGES))?;
        let program =
            Xdp::from_program_info(info, Cow::Borrowed(name::PROGRAM), XdpAttachType::Interface)?;
        Ok(Self {
            id,
            program,
            lines,
            flows,
        })
    }

    /// The program's number, as bpftool shows it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The words of its image.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        self.lines.as_flattened()
    }

    /// Its flows as they were when it was found, lapsed ones included.
    #[must_use]
    pub fn flows(&self) -> &[(Table, FlowKey, Flow)] {
        &self.flows
    }

    /// What it does with a frame.
    pub fn ask(&self, frame: &[u8]) -> Result<Action, ProgramError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        Ok(to_action(self.program.test_run(options)?.return_value))
    }
}

/// The image that packets are judged by at this moment.
fn read_image(id: u32) -> Result<Vec<Line>, LoadError> {
    let failed = map_error("reading the image of the running filter");
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

fn read_one(image: &ImageMap) -> Result<Vec<Line>, LoadError> {
    let memory = |cause| LoadError::Memory {
        doing: "reading the image of the running filter",
        cause,
    };
    let shape = map_error("asking for the shape of the running filter's image");
    if !image.is_ours().map_err(shape)? {
        return Err(LoadError::OtherVersion);
    }
    // The header says how much of the room is in use.
    match image.read(1).map_err(memory)?.first() {
        Some(line) if line[header::MAGIC] == MAGIC && line[header::LAYOUT] == LAYOUT => {
            image.read(line[header::LINES] as usize).map_err(memory)
        }
        _ => Err(LoadError::OtherVersion),
    }
}
