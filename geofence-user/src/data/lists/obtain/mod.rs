//! Getting the text of a list from its source: a file, a URL, or an interface that is asked page by page.
//!
//! What an interface gives is joined to one text in a format that `formats` reads.

mod crowdsec;
mod misp;
mod obtained;
mod pages;
mod source;
mod taxii;

pub(super) use obtained::{Failure, Obtained, base};
pub(super) use source::obtain;
