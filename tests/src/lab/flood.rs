//! Stub.
use super::{Lab, Scale};
use super::report::Row;
pub(super) fn floods(_: &Lab, _: Scale) -> anyhow::Result<Vec<Row>> { Ok(vec![]) }
