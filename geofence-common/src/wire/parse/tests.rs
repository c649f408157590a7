//! How far the five-tuple of a packet is read.

use super::*;
use crate::address::Address;

#[test]
fn five_tuple_has_ports_if_the_transport_header_is_readable() {
    let mut frame = vec![0_u8; 12];
    frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol::TCP, 0, 0]);
    frame.extend([192, 0, 2, 1, 5, 9, 0, 1]);
    frame.extend([
        0xc8, 0x22, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ]);
    let five_tuple = read_five_tuple(&frame.as_slice()).unwrap();
    assert_eq!(
        (five_tuple.ports, five_tuple.protocol, five_tuple.flags),
        ([51_234, 443], protocol::TCP, 2)
    );
    assert_eq!(five_tuple.source, Address::v4(0xc000_0201));
    assert_eq!(five_tuple.destination, Address::v4(0x0509_0001));
    // Neither a later fragment nor a truncated header has ports.
    frame[21] = 3;
    assert_eq!(read_five_tuple(&frame.as_slice()).unwrap().ports, [0; 2]);
    frame[21] = 0;
    frame.truncate(40);
    frame[17] = 26;
    assert_eq!(read_five_tuple(&frame.as_slice()).unwrap().ports, [0; 2]);
    assert_eq!(read_five_tuple(&&frame[..20]), None);
}

#[test]
fn ports_are_read_behind_extension_headers() {
    const TCP: [u8; 20] = [
        0xc8, 0x22, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];
    const OPTIONS: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
    // Every header names the one behind it; the last is TCP's.
    let read = |headers: &[(u8, [u8; 8])]| {
        let numbers = headers.iter().map(|(number, _)| *number);
        let mut numbers = numbers.chain([protocol::TCP]);
        let mut frame = vec![0_u8; 12];
        let length = headers.len() * 8 + TCP.len();
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length as u8]);
        frame.extend([numbers.next().unwrap(), 64]);
        frame.extend([0x20; 32]);
        for ((_, header), next) in headers.iter().zip(numbers) {
            frame.extend([&[next], &header[1..]].concat());
        }
        frame.extend(TCP);
        let five_tuple = read_five_tuple(&frame.as_slice()).unwrap();
        (five_tuple.protocol, five_tuple.ports, five_tuple.flags)
    };
    let fragment = |field: u16| {
        let [high, low] = field.to_be_bytes();
        (protocol::FRAGMENT, [0, 0, high, low, 0, 0, 0, 7])
    };
    let options = (protocol::DESTINATION_OPTIONS, OPTIONS);
    let found = (protocol::TCP, [51_234, 443], 2);
    assert_eq!(read(&[]), found);
    assert_eq!(read(&[(protocol::HOP_BY_HOP, OPTIONS), options]), found);
    assert_eq!(read(&[fragment(1), options]), found);
    // Neither a later fragment nor a packet with too many extension headers has ports.
    assert_eq!(read(&[fragment(8)]), (protocol::TCP, [0; 2], 0));
    assert_eq!(
        read(&[options; 9]),
        (protocol::DESTINATION_OPTIONS, [0; 2], 0)
    );
}
