//! Interfaces by any of their names. An alternative name (`ip link property add altname`) has up to 127 bytes, and the
//! calls of the C library know the first 15 alone.

use std::io;

use futures_util::TryStreamExt as _;
use nix::net::if_::{if_indextoname, if_nametoindex};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, Prop};

/// The indexes of the interfaces that there are of these names.
#[must_use]
pub fn indexes(names: &[String]) -> Vec<u32> {
    let short = |name: &String| if_nametoindex(name.as_str()).ok();
    let mut indexes: Vec<u32> = names.iter().filter_map(short).collect();
    let others: Vec<&String> = names.iter().filter(|name| short(name).is_none()).collect();
    if !others.is_empty() {
        // Nothing was asked of the kernel yet about these, and what it does not answer does not exist.
        let links = all_links().unwrap_or_default();
        let is_meant = |link: &&LinkMessage| {
            other_names(link).any(|name| others.iter().any(|other| *other == name))
        };
        indexes.extend(links.iter().filter(is_meant).map(|link| link.header.index));
    }
    indexes
}

/// The first names of the interfaces that there are of these names.
#[must_use]
pub fn first_names(names: &[String]) -> Vec<String> {
    let indexes = indexes(names).into_iter();
    let names = indexes.filter_map(|index| if_indextoname(index).ok());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn other_names(link: &LinkMessage) -> impl Iterator<Item = &str> {
    let properties = link.attributes.iter().filter_map(|attribute| {
        if let LinkAttribute::PropList(properties) = attribute {
            Some(properties)
        } else {
            None
        }
    });
    properties.flatten().filter_map(|property| {
        if let Prop::AltIfName(name) = property {
            Some(name.as_str())
        } else {
            None
        }
    })
}

/// Asks the kernel for all links, on a thread of its own, because the caller may be a task.
fn all_links() -> io::Result<Vec<LinkMessage>> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            let links = handle.link().get().execute();
            links.try_collect().await.map_err(io::Error::other)
        })
    };
    std::thread::scope(|scope| {
        let asked = scope.spawn(ask).join();
        asked.unwrap_or_else(|_| Err(io::Error::other("the thread that asks for links ended")))
    })
}
