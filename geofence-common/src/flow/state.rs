//! The state of a flow, and how long replies to it pass.

/// The state of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// When replies stop passing.
    pub deadline: u64,
    /// When our side opened it.
    pub opened: u64,
    /// A `State`, as its number.
    pub state: u32,
    /// How many more datagrams may answer, if the flow's key bounds them.
    pub answers: u32,
}

impl Flow {
    #[must_use]
    #[inline(always)]
    pub const fn new(state: State, lifetime: u64, now: u64) -> Self {
        Self {
            deadline: now + lifetime,
            opened: now,
            state: state as u32,
            answers: 0,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_live(&self, now: u64) -> bool {
        self.deadline > now
    }

    /// The same flow, which this many datagrams may answer.
    #[must_use]
    #[inline(always)]
    pub const fn with_answers(self, answers: u32) -> Self {
        Self { answers, ..self }
    }

    /// A flow that continues keeps the time it was opened; an expired flow is opened now.
    #[inline(always)]
    pub(crate) const fn since(self, former: Self, now: u64) -> Self {
        if former.is_live(now) && former.state == self.state {
            Self {
                opened: former.opened,
                ..self
            }
        } else {
            self
        }
    }
}

/// The state of a connection, by what our side has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// A SYN and nothing more.
    Opening = 1,
    Established = 2,
    /// A FIN; the other side may go on for a while.
    Closing = 3,
    /// A RST.
    Closed = 4,
    /// A protocol without connections.
    Datagram = 5,
}

impl State {
    /// The state of this number, if there is one.
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Opening,
            2 => Self::Established,
            3 => Self::Closing,
            4 => Self::Closed,
            5 => Self::Datagram,
            _ => return None,
        })
    }

    /// The spelling used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Datagram => "datagram",
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// How long replies pass after the last packet of ours, in nanoseconds.
pub mod lifetime {
    use super::SECOND;

    /// RFC 5382 section 5: at least two hours and four minutes.
    pub const ESTABLISHED: u64 = 7_440 * SECOND;
    /// RFC 5382 section 5: four minutes while a connection opens or closes.
    pub const TRANSITORY: u64 = 240 * SECOND;
    /// Covers packets in flight when our side resets a connection.
    pub const CLOSED: u64 = 10 * SECOND;
    /// Resolvers give up on a server well before.
    pub const DNS: u64 = 60 * SECOND;
    /// RFC 4787 section 4.3 recommends five minutes.
    pub const DATAGRAM: u64 = 300 * SECOND;
    /// RFC 5508 section 3.2: at least a minute.
    pub const ECHO: u64 = 60 * SECOND;
    /// How long later fragments pass behind an accepted first one; Linux reassembles for as long
    /// (net.ipv4.ipfrag_time).
    pub const FRAGMENT: u64 = 30 * SECOND;
}
