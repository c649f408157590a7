//! The tests of lists.

mod damaged;
mod emptied;
mod fetched;
mod formats;
mod reading;
mod round_trip;
mod samples;
mod sanity;
mod stored;
