//! The headers that may stand between IP and its payload.

use super::layer::{Extension, Layer};
use super::{Frame, number};

/// Extension headers, each announced by the header before it.
impl Frame {
    /// Adds any header: its number, and everything behind its next-header byte, its length included, as it stands.
    pub fn extension(self, number: u8, body: &[u8]) -> Self {
        self.layer(Layer::Extension(Extension {
            number,
            next_header: None,
            body: body.to_vec(),
        }))
    }

    /// Adds hop-by-hop options, filled up with padding.
    pub fn hop_by_hop(self, options: &[u8]) -> Self {
        self.eights(number::HOP_BY_HOP, options)
    }

    /// Adds destination options, filled up with padding.
    pub fn destination_options(self, options: &[u8]) -> Self {
        self.eights(number::DESTINATION_OPTIONS, options)
    }

    /// Adds a routing header: its type, how many segments are left, and its data.
    pub fn routing(self, kind: u8, segments_left: u8, data: &[u8]) -> Self {
        self.eights(number::ROUTING, &[&[kind, segments_left], data].concat())
    }

    /// Adds IPv6's fragment header; the offset counts units of eight bytes.
    pub fn fragment(self, offset: u16, more: bool, identification: u32) -> Self {
        let field = (offset << 3) | u16::from(more);
        let body = [
            &[0][..],
            &field.to_be_bytes(),
            &identification.to_be_bytes(),
        ]
        .concat();
        self.extension(number::FRAGMENT, &body)
    }

    /// Adds an authentication header with an integrity value of whole words.
    pub fn authentication(self, value: &[u8]) -> Self {
        assert!(
            value.len().is_multiple_of(4),
            "an integrity value is whole words, not {} bytes",
            value.len()
        );
        // The length counts words less two (RFC 4302), unlike every other header's.
        let length = (12 + value.len()) / 4 - 2;
        let body = [&[length as u8, 0, 0][..], &[0, 0, 1, 0, 0, 0, 0, 1], value].concat();
        self.extension(number::AUTHENTICATION, &body)
    }

    /// Adds a mobility header.
    pub fn mobility(self, data: &[u8]) -> Self {
        self.eights(number::MOBILITY, data)
    }

    /// Adds a Host Identity Protocol header.
    pub fn hip(self, data: &[u8]) -> Self {
        self.eights(number::HIP, data)
    }

    /// Adds a Shim6 header.
    pub fn shim6(self, data: &[u8]) -> Self {
        self.eights(number::SHIM6, data)
    }

    /// Adds a header whose length counts eights less one, filled up with zeroes, which are padding options.
    fn eights(self, number: u8, data: &[u8]) -> Self {
        let whole = (2 + data.len()).next_multiple_of(8);
        assert!(
            whole <= 2048,
            "{} bytes do not fit into an extension header",
            data.len()
        );
        let mut body = vec![(whole / 8 - 1) as u8];
        body.extend_from_slice(data);
        body.resize(whole - 1, 0);
        self.extension(number, &body)
    }
}
