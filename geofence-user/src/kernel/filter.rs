//! A loaded filter: its programs, its maps, and its two images.

use std::collections::BTreeMap;

use aya::Ebpf;
use aya::maps::{Map, MapError};
use aya::programs::{ProgramError, SchedClassifier, Xdp};
use geofence_common::frame::Link;
use geofence_common::maps::Device;

use super::bpffs::is_private;
use super::error::KernelError;
use super::image_map::ImageMap;
use super::inherited_tables::InheritedTables;
use super::load::{load, load_programs};
use super::object;
use super::pins::Pins;
use super::program_names::{programs, programs_with_rules};
use crate::model::filter_options::FilterOptions;
use crate::model::policy::CountedService;

/// The slot of each exempted service, and its counter when the service got it.
pub(super) type ServiceSlots = BTreeMap<CountedService, (u8, u64)>;

/// A loaded filter. Dropping it unloads it, unless it is pinned to an interface.
pub struct Filter {
    pub(super) ebpf: Ebpf,
    pub(super) inherited: InheritedTables,
    pub(super) images: [ImageMap; 2],
    /// Which image the kernel reads; none before the first.
    pub(super) current: Option<usize>,
    /// The flags of observation, which every image carries.
    pub(super) observed: u32,
    /// What is in the map of devices, by place. Only this process writes it.
    pub(super) devices: BTreeMap<u32, Device>,
    /// The slots of exempted services, once they have been written. Only this process writes them.
    pub(super) service_slots: Option<ServiceSlots>,
    options: FilterOptions,
    /// Whether the pins go with their mount namespace.
    are_pins_private: bool,
}

impl Filter {
    /// Loads the program and creates its maps. Nothing is attached and no image is in place.
    pub fn load(options: FilterOptions) -> Result<Self, KernelError> {
        Self::build(object::OBJECT, options, &[], None)
    }

    /// Like `load`, but inherits the tables of an earlier filter where they fit.
    pub fn load_onto(options: FilterOptions, pins: &Pins) -> Result<Self, KernelError> {
        Self::build(object::OBJECT, options, &[], Some(pins))
    }

    /// Like `load`, for another object that contains the program and its maps; `sizes` are those of its own maps. For
    /// benchmarks.
    #[doc(hidden)]
    pub fn load_object(
        object: &[u8],
        options: FilterOptions,
        sizes: &[(&'static str, u32)],
    ) -> Result<Self, KernelError> {
        Self::build(object, options, sizes, None)
    }

    fn build(
        object: &[u8],
        options: FilterOptions,
        more: &[(&'static str, u32)],
        pins: Option<&Pins>,
    ) -> Result<Self, KernelError> {
        let (ebpf, inherited) = load(object, &options, more, pins)?;
        let image = || ImageMap::create(options.image_lines);
        Ok(Self {
            ebpf,
            inherited,
            images: [image()?, image()?],
            current: None,
            observed: 0,
            devices: BTreeMap::new(),
            service_slots: None,
            options,
            are_pins_private: pins.is_some() && is_private(),
        })
    }

    /// The sizes of its maps.
    #[must_use]
    pub fn options(&self) -> FilterOptions {
        self.options
    }

    /// Loads the programs for devices whose frames start with the IP header.
    pub fn load_ip(&mut self) -> Result<(), KernelError> {
        load_programs(&mut self.ebpf, Link::Ip)
    }

    /// Whether the programs for devices of this link are loaded.
    pub fn has_programs(&mut self, link: Link) -> bool {
        self.ingress(link).is_ok_and(|program| program.fd().is_ok())
    }

    /// The id of the ingress program for devices of this link, as interfaces report it.
    pub fn program_id(&mut self, link: Link) -> Result<u32, KernelError> {
        Ok(self.ingress(link)?.info()?.id())
    }

    /// The ingress program for devices of this link.
    pub(super) fn ingress(&mut self, link: Link) -> Result<&mut Xdp, KernelError> {
        let [ingress, _] = self.attached(link);
        self.program(ingress)
    }

    pub(super) fn egress(&mut self, link: Link) -> Result<&mut SchedClassifier, KernelError> {
        let [_, egress] = self.attached(link);
        self.program(egress)
    }

    /// The programs that are attached to devices of this link.
    ///
    /// Where the pins may go, the arrays of programs go with them. There, the programs with rules are attached
    /// themselves.
    fn attached(&self, link: Link) -> [&'static str; 2] {
        if self.are_pins_private {
            programs_with_rules(link)
        } else {
            programs(link)
        }
    }

    fn program<'a, P>(&'a mut self, name: &'static str) -> Result<&'a mut P, KernelError>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
    {
        let program = self.ebpf.program_mut(name);
        Ok(program.ok_or(KernelError::NoMap(name))?.try_into()?)
    }

    pub(super) fn map(&self, map: &'static str) -> Result<&Map, KernelError> {
        self.ebpf.map(map).ok_or(KernelError::NoMap(map))
    }

    /// Opens a map for reading.
    pub(super) fn open<'a, T>(&'a self, map: &'static str) -> Result<T, KernelError>
    where
        T: TryFrom<&'a Map, Error = MapError>,
    {
        T::try_from(self.map(map)?).map_err(KernelError::opening(map))
    }

    /// Opens a map for writing.
    pub(super) fn open_mut<'a, T>(&'a mut self, map: &'static str) -> Result<T, KernelError>
    where
        T: TryFrom<&'a mut Map, Error = MapError>,
    {
        let found = self.ebpf.map_mut(map).ok_or(KernelError::NoMap(map))?;
        T::try_from(found).map_err(KernelError::opening(map))
    }

    /// The object's programs and maps, as aya has them. For benchmarks, and to take the event ring.
    #[doc(hidden)]
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}
