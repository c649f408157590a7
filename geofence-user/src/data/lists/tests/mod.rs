//! The tests of lists.

mod access;
mod damaged;
mod emptied;
mod fetched;
mod formats;
mod interfaces;
mod reading;
mod round_trip;
mod samples;
mod sanity;
mod stored;
