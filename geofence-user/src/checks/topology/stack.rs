//! Which device is above which: ports below their bridge or bond, parents below their VLANs.

use std::collections::BTreeSet;

use crate::model::interface::Interface;

/// Kinds whose parent is not beneath them: the other end of a pair, or the underlay of a tunnel, whose packets are
/// unpacked by the IP stack.
const BESIDE: [&str; 19] = [
    "bareudp",
    "erspan",
    "geneve",
    "gre",
    "gretap",
    "gtp",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "netkit",
    "sit",
    "veth",
    "vti",
    "vti6",
    "vxcan",
    "vxlan",
    "xfrm",
];

/// The devices of a network namespace, and how they are stacked.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a>(pub &'a [Interface]);

impl<'a> Stack<'a> {
    #[must_use]
    pub fn device(&self, index: u32) -> Option<&'a Interface> {
        self.0.iter().find(|one| one.index == index)
    }

    /// The bridge, bond or other device that this one is a port of.
    #[must_use]
    pub fn controller(&self, port: &Interface) -> Option<&'a Interface> {
        self.device(port.controller?)
    }

    /// The ports of a bridge, bond or other device.
    pub fn ports(&self, controller: &Interface) -> impl Iterator<Item = &'a Interface> + use<'a> {
        let index = controller.index;
        self.0
            .iter()
            .filter(move |one| one.controller == Some(index))
    }

    /// The device beneath this one, if it is made on another.
    #[must_use]
    pub fn parent(&self, child: &Interface) -> Option<&'a Interface> {
        let kind = child.kind.as_deref().unwrap_or_default();
        if BESIDE.contains(&kind) {
            return None;
        }
        self.device(child.parent?)
    }

    /// The devices that are made on this one: its VLANs, macvlans and others.
    pub fn children(&self, parent: &Interface) -> impl Iterator<Item = &'a Interface> + use<'a> {
        let (stack, index) = (*self, parent.index);
        self.0
            .iter()
            .filter(move |one| stack.parent(one).is_some_and(|found| found.index == index))
    }

    /// The devices above these: a packet that came in by one of these may come in by them once more.
    #[must_use]
    pub fn above(&self, lower: &BTreeSet<u32>) -> BTreeSet<u32> {
        let mut reached = lower.clone();
        loop {
            let before = reached.len();
            for one in self.0 {
                if self.is_directly_above(one, &reached) {
                    reached.insert(one.index);
                }
            }
            if reached.len() == before {
                return reached.difference(lower).copied().collect();
            }
        }
    }

    /// The positions of these devices, each after those beneath it.
    #[must_use]
    pub fn lowest_first(&self, indexes: &[u32]) -> Vec<usize> {
        let above: Vec<BTreeSet<u32>> = indexes
            .iter()
            .map(|index| self.above(&BTreeSet::from([*index])))
            .collect();
        let beneath = |at: usize| {
            let index = indexes.get(at);
            above
                .iter()
                .filter(|above| index.is_some_and(|index| above.contains(index)))
                .count()
        };
        let mut order: Vec<usize> = (0..indexes.len()).collect();
        order.sort_by_key(|at| beneath(*at));
        order
    }

    fn is_directly_above(&self, upper: &Interface, lower: &BTreeSet<u32>) -> bool {
        let is_lower = |one: &Interface| lower.contains(&one.index);
        // The ports of Open vSwitch have one controller, and those that lead to this machine name none.
        let is_switched = || {
            let mut ports = self.0.iter().filter(|port| is_lower(port));
            ports.any(|port| {
                self.controller(port)
                    .is_some_and(|one| one.is_kind("openvswitch"))
            })
        };
        // A PPP device names no device that its sessions arrive on.
        let is_session = || self.0.iter().any(|one| one.has_pppoe && is_lower(one));
        self.parent(upper).is_some_and(is_lower)
            || self.ports(upper).any(is_lower)
            || (upper.is_kind("openvswitch") && is_switched())
            || (upper.is_kind("ppp") && is_session())
    }
}
