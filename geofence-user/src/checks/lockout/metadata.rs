//! The addresses of the cloud's metadata service. The firmware's tables name the cloud.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that most clouds use, and the IPv6 addresses of Amazon and Google.
const COMMON: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const EC2_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
const GCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254));
/// Azure's platform address, for leases, health probes and DNS. It is a public address.
const AZURE: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));
const ALIBABA: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200));
const SCALEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42));
const TENCENT: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23));

/// A text in the firmware's tables, and the addresses of that cloud.
const CLOUDS: [(&str, &[IpAddr]); 14] = [
    ("Amazon EC2", &[COMMON, EC2_V6]),
    ("Google Compute Engine", &[COMMON, GCE_V6]),
    // The asset tag of Azure. Hyper-V elsewhere has the same vendor without the tag.
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

/// The metadata addresses of this machine: those of its cloud, and known ones that it has a host route to.
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
    fn a_metadata_service_is_known_by_the_firmware_or_a_host_route() {
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
