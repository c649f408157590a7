//! Where a cloud's machines ask who they are. The firmware's tables name the cloud; on other machines nothing is asked.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that most clouds have agreed on, and Amazon's over IPv6.
const COMMON: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const EC2_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
const GCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254));
/// Azure's platform address: leases, health probes, names. It looks like any other public one.
const AZURE: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));
const ALIBABA: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200));
const SCALEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42));
const TENCENT: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23));

/// What stands in the firmware's tables, and the addresses that follow.
const CLOUDS: [(&str, &[IpAddr]); 14] = [
    ("Amazon EC2", &[COMMON, EC2_V6]),
    ("Google Compute Engine", &[COMMON, GCE_V6]),
    // The asset tag that Azure gives its machines; Hyper-V elsewhere has the same vendor without it.
    ("7783-7084-3265-9085-8269-3286-77", &[COMMON, AZURE]),
    ("Alibaba Cloud", &[ALIBABA]),
    ("OracleCloud.com", &[COMMON]),
    ("Scaleway", &[SCALEWAY]),
    ("Tencent Cloud", &[TENCENT]),
    ("Hetzner", &[COMMON]),
    ("DigitalOcean", &[COMMON]),
    ("Vultr", &[COMMON]),
    ("Akamai Connected Cloud", &[COMMON]),
    ("Linode", &[COMMON]),
    ("OpenStack", &[COMMON]),
    ("Exoscale", &[COMMON]),
];

/// The metadata addresses of this machine: by its firmware, and those of them that it has a route to
/// and to nothing else.
pub(super) fn addresses(host_routes: &[IpAddr]) -> Vec<IpAddr> {
    let tables = [
        "sys_vendor",
        "product_name",
        "chassis_asset_tag",
        "bios_vendor",
    ]
    .map(|file| fs::read_to_string(format!("/sys/class/dmi/id/{file}")).unwrap_or_default());
    of_machine(&tables, host_routes)
}

fn of_machine(tables: &[String], host_routes: &[IpAddr]) -> Vec<IpAddr> {
    let is_named = |cloud: &str| tables.iter().any(|text| text.contains(cloud));
    let mut all: Vec<IpAddr> = CLOUDS
        .iter()
        .flat_map(|(cloud, addresses)| {
            let named = is_named(cloud);
            addresses
                .iter()
                .filter(move |address| named || host_routes.contains(address))
        })
        .copied()
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_or_a_route_of_its_own_tells_of_a_metadata_service() {
        let tables = |text: &str| [text.to_owned(), String::new()];
        assert_eq!(of_machine(&tables("QEMU\n"), &[]), [] as [IpAddr; 0]);
        assert_eq!(of_machine(&tables("Amazon EC2\n"), &[]), [COMMON, EC2_V6]);
        assert_eq!(
            of_machine(&tables("Microsoft Corporation\n"), &[]),
            [] as [IpAddr; 0]
        );
        assert_eq!(of_machine(&tables("QEMU\n"), &[COMMON]), [COMMON]);
    }
}
