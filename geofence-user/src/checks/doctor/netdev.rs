//! The XDP features of a driver as the kernel reports them: the `netdev` family of generic netlink (Linux 6.3).

use futures_util::TryStreamExt as _;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, Nla as _,
    NlasIterator, Parseable as _, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

// The numbers of `include/uapi/linux/netdev.h`.
const DEV_GET: u8 = 1;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;

/// A message of the family, its attributes undecoded.
#[derive(Clone, Debug)]
struct Netdev(Vec<DefaultNla>);

impl GenlFamily for Netdev {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Netdev {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Netdev {
    fn parse_with_param(buffer: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        NlasIterator::new(buffer)
            .map(|attribute| DefaultNla::parse(&attribute?))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// The feature bits of an interface, if the kernel reports them.
pub(super) async fn xdp_features(index: u32) -> Option<u64> {
    let (connection, mut handle, _) = genetlink::new_connection().ok()?;
    let connection = tokio::spawn(connection);
    let asked = Netdev(vec![DefaultNla::new(IFINDEX, index.to_ne_bytes().to_vec())]);
    let mut message = NetlinkMessage::from(GenlMessage::from_payload(asked));
    message.header.flags = NLM_F_REQUEST;
    let mut features = None;
    if let Ok(mut answers) = handle.request(message).await {
        while let Ok(Some(answer)) = answers.try_next().await {
            if let NetlinkPayload::InnerMessage(answer) = answer.payload {
                features = features.or_else(|| features_of(&answer.payload));
            }
        }
    }
    connection.abort();
    features
}

fn features_of(answer: &Netdev) -> Option<u64> {
    let attribute = answer.0.iter().find(|one| one.kind() == XDP_FEATURES)?;
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value.try_into().ok().map(u64::from_ne_bytes)
}
