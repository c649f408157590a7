//! The driver's own words for refusing an XDP program (extended acknowledgement).
//!
//! `BPF_LINK_CREATE` reports them to a tracepoint only; netlink returns them with its answer. So geofence offers a
//! refused program once more by netlink. If the driver accepts it then, geofence detaches it at once.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use aya::programs::XdpMode as AyaMode;
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
    NlasIterator, Parseable as _,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use rtnetlink::sys::Socket;
use rtnetlink::sys::protocols::NETLINK_ROUTE;

/// `XDP_FLAGS_UPDATE_IF_NOEXIST`: a program that is there stays.
const IF_NONE: u32 = 1;
/// `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE`.
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;
/// What takes a program off.
const NO_PROGRAM: RawFd = -1;
/// `NLMSGERR_ATTR_MSG` of `include/uapi/linux/netlink.h`.
const TEXT: u16 = 1;
/// `struct nlmsghdr`: the request's, which the answer repeats before its attributes.
const HEADER_BYTES: usize = 16;

/// What the driver of an interface says to a program that it has refused; none if it says nothing.
pub(super) fn explanation(index: u32, mode: AyaMode, program: BorrowedFd<'_>) -> Option<String> {
    let mode = if mode == AyaMode::Skb {
        GENERIC
    } else {
        NATIVE
    };
    let offer = |program, flags| request(index, program, mode | flags).ok();
    match offer(program.as_raw_fd(), IF_NONE)? {
        Answer::Refused(text) => text,
        Answer::Taken => {
            offer(NO_PROGRAM, 0)?;
            None
        }
    }
}

/// How the kernel answers.
enum Answer {
    Taken,
    Refused(Option<String>),
}

fn request(index: u32, program: RawFd, flags: u32) -> io::Result<Answer> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_ext_ack(true)?;
    // The answer then repeats the header of the request, and not the request.
    socket.set_cap_ack(true)?;
    socket.bind_auto()?;
    let mut change = LinkMessage::default();
    change.header.index = index;
    let program = vec![LinkXdp::Fd(program), LinkXdp::Flags(flags)];
    change.attributes = vec![LinkAttribute::Xdp(program)];
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let payload = NetlinkPayload::from(RouteNetlinkMessage::SetLink(change));
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes);
    let payload = answer.map_err(io::Error::other)?.payload;
    let refused = if let NetlinkPayload::Error(error) = payload {
        // Without a number it is an acknowledgement.
        error.code.map(|_| Answer::Refused(text_of(&error.header)))
    } else {
        None
    };
    Ok(refused.unwrap_or(Answer::Taken))
}

/// The text among the attributes of an answer.
fn text_of(answer: &[u8]) -> Option<String> {
    let attributes = answer.get(HEADER_BYTES..)?;
    let attributes = NlasIterator::new(attributes).filter_map(Result::ok);
    let mut attributes = attributes.filter_map(|one| DefaultNla::parse(&one).ok());
    let text = attributes.find(|one| one.kind() == TEXT)?;
    let mut value = vec![0; text.value_len()];
    text.emit_value(&mut value);
    let text = String::from_utf8_lossy(&value);
    let text = text.trim_end_matches('\0').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_behind_the_header_of_the_request() {
        let mut answer = vec![7; HEADER_BYTES];
        // An offset (attribute 2), then the text.
        answer.extend([8, 0, 2, 0, 1, 2, 3, 4]);
        answer.extend([11, 0, 1, 0]);
        answer.extend(b"no XDP\0\0");
        assert_eq!(text_of(&answer).as_deref(), Some("no XDP"));
        assert_eq!(text_of(&answer[..HEADER_BYTES + 8]), None);
        assert_eq!(text_of(&answer[..5]), None);
    }
}
