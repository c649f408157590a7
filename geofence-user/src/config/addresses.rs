//! From one spelling to one value: prefixes, socket addresses and interfaces.
//!
//! As in `values`, a reader that refuses offers the spelling that would have been accepted, where there is one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv6Net};

use super::error::{Problem, quoted};

/// Reads a prefix, or an address as the prefix that holds it alone.
pub(crate) fn prefix(text: &str) -> Result<IpNet, Problem> {
    let refuse = |label: String, help: String| {
        Problem::new(format!("{} is not a prefix", quoted(text)), label, help)
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(parsed) = address.parse::<IpAddr>() else {
        let help = match repaired(text) {
            Some(repaired) => format!("did you mean \"{repaired}\"?"),
            None => {
                "write an address or a prefix, such as \"198.51.100.0/24\" or \"2001:db8::/32\"; \
                     names are not looked up"
                    .to_owned()
            }
        };
        return Err(refuse(format!("`{address}` is not an IP address"), help));
    };
    let longest = if parsed.is_ipv4() { 32 } else { 128 };
    let bits = match length {
        None => longest,
        Some(length) => match length.parse::<u8>() {
            Ok(bits) if bits <= longest && length.bytes().all(|byte| byte.is_ascii_digit()) => bits,
            _ => {
                let masked = length
                    .parse::<IpAddr>()
                    .ok()
                    .and_then(|mask| IpNet::with_netmask(parsed, mask).ok());
                let help = match masked {
                    Some(masked) => format!("did you mean \"{}\"?", masked.trunc()),
                    None => format!(
                        "a length is a number from 0 to {longest}: \"{parsed}/{longest}\" is the address alone"
                    ),
                };
                return Err(refuse(
                    format!("`{length}` is not the length of such a prefix"),
                    help,
                ));
            }
        },
    };
    let Ok(net) = IpNet::new(parsed, bits) else {
        return Err(refuse(
            format!("`{bits}` is too long"),
            format!("at most {longest}"),
        ));
    };
    if let IpAddr::V6(v6) = parsed
        && let Some(v4) = v6.to_ipv4_mapped()
        && bits >= 96
    {
        let plain = IpNet::new(IpAddr::V4(v4), bits - 96)
            .map_or_else(|_| v4.to_string(), |net| net.trunc().to_string());
        return Err(refuse(
            "an IPv4 address in IPv6 form, which no packet may carry".to_owned(),
            format!("write the IPv4 form: \"{plain}\""),
        ));
    }
    if net.trunc() != net {
        return Err(refuse(
            format!("bits behind the first {bits} are set"),
            format!(
                "did you mean the network \"{}\", or the address \"{parsed}\" alone?",
                net.trunc()
            ),
        ));
    }
    Ok(net)
}

/// The prefix that a text with blanks, a zone, brackets or too few octets stands for.
fn repaired(text: &str) -> Option<IpNet> {
    let bare = text.trim().replace(['[', ']'], "");
    let (address, length) = bare
        .split_once('/')
        .map_or((bare.as_str(), None), |(a, l)| (a, Some(l)));
    let address = address
        .split('%')
        .next()?
        .trim_end_matches(".*")
        .trim_end_matches('.');
    let octets = address.split('.').count();
    let v4 = address
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let (full, implied) = if v4 && octets < 4 {
        (format!("{address}{}", ".0".repeat(4 - octets)), octets * 8)
    } else if v4 {
        // Leading zeros are octal to some and decimal to others; the file should not leave that open.
        let plain: Vec<_> = address
            .split('.')
            .map(|octet| octet.trim_start_matches('0'))
            .collect();
        let plain: Vec<_> = plain
            .iter()
            .map(|octet| if octet.is_empty() { "0" } else { octet })
            .collect();
        (plain.join("."), 32)
    } else {
        (address.to_owned(), 128)
    };
    if v4 && octets == 1 && length.is_none() {
        return None;
    }
    let implied = implied.to_string();
    let net: IpNet = format!("{full}/{}", length.unwrap_or(&implied).trim())
        .parse()
        .ok()?;
    Some(net.trunc())
}

/// Reads a prefix from which management is done; a whole family would switch the filter off.
pub(super) fn management(text: &str) -> Result<IpNet, Problem> {
    let net = prefix(text)?;
    if net.prefix_len() == 0 {
        return Err(Problem::new(
            format!(
                "{} would let the whole world manage this machine",
                quoted(text)
            ),
            "every address is in this prefix, so nothing would be filtered",
            "list the prefixes you log in from; to watch without dropping, set mode = \"monitor\"",
        ));
    }
    Ok(net)
}

/// Reads a prefix of a NAT64.
pub(super) fn translation(text: &str) -> Result<Ipv6Net, Problem> {
    match prefix(text)? {
        IpNet::V6(net) if matches!(net.prefix_len(), 48 | 96) => Ok(net),
        IpNet::V6(_) | IpNet::V4(_) => Err(Problem::new(
            format!("{} is not a translation prefix", quoted(text)),
            "expected an IPv6 prefix of 96 or 48 bits",
            "write the prefix that the translator uses, such as \"2001:db8:64::/96\"",
        )),
    }
}

/// Reads the address and port to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        let bare = text.trim();
        let bare = bare
            .split_once("://")
            .map_or(bare, |(_, rest)| rest)
            .trim_end_matches('/');
        let named = bare.replacen("localhost", "127.0.0.1", 1);
        let unbracketed: Option<Ipv6Addr> = bare.parse().ok();
        let bracketed = bare
            .rsplit_once(':')
            .map(|(address, port)| format!("[{address}]:{port}"));
        let meant = [
            Some(bare.to_owned()),
            Some(named.clone()),
            Some(format!("{named}:10317")),
            unbracketed.map(|address| format!("[{address}]:10317")),
            bracketed,
            Some(format!("127.0.0.1:{}", bare.trim_start_matches(['*', ':']))),
        ]
        .into_iter()
        .flatten()
        .find_map(|text| text.parse::<SocketAddr>().ok());
        Problem::new(
            format!("{} is not an address to listen on", quoted(text)),
            "expected an IP address and a port",
            match meant {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "write \"127.0.0.1:10317\", or \"[::1]:10317\" for IPv6".to_owned(),
            },
        )
    })
}

/// Reads a host name without a port.
pub(super) fn host_name(text: &str) -> Result<String, Problem> {
    let is_label = |label: &str| {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=63).contains(&label.len()) && label.chars().all(is_inside)
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', ':']).next().unwrap_or_default().trim();
    let help = match bare {
        bare if bare != text && host_name(bare).is_ok() => format!("did you mean \"{bare}\"?"),
        _ => "write a name without a port, such as \"edge1.example.net\"".to_owned(),
    };
    Err(Problem::new(
        format!("{} is not a host name", quoted(text)),
        "expected letters, digits and hyphens between dots",
        help,
    ))
}

/// Reads the name of a network interface, which need not exist yet.
pub(super) fn interface(text: &str) -> Result<String, Problem> {
    /// ALTIFNAMSIZ without its terminating zero: an alternative name is longer than a first name may be.
    const LONGEST: usize = 127;
    let wrong = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let label = if text.is_empty() {
        "the name is empty".to_owned()
    } else if text.len() > LONGEST {
        format!("longer than the {LONGEST} bytes the kernel allows")
    } else if text == "." || text == ".." || text.contains(wrong) {
        "no blanks, `/` or `:` occur in a name, and it is not `.` or `..`".to_owned()
    } else {
        return Ok(text.to_owned());
    };
    let help = match text.trim() {
        name if name != text && interface(name).is_ok() => format!("did you mean \"{name}\"?"),
        _ => "`ip link` lists the interfaces there are, such as \"eth0\"".to_owned(),
    };
    Err(Problem::new(
        format!("{} is not the name of an interface", quoted(text)),
        label,
        help,
    ))
}
