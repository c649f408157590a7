//! Why a policy cannot be compiled.

use geofence_common::image::Line;
use geofence_common::maps::IMAGE_MIB_MAX;

use super::exceptions::ExceptionError;

/// The image does not fit where it must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policy image needs {} MiB ({lines} lines), more than the {} MiB ({lines_max} lines) that fit; {}",
    mib(*lines),
    mib(*lines_max),
    self.help()
)]
pub struct TooLarge {
    /// The lines needed; a lower bound if no image can have so many.
    pub lines: u32,
    pub lines_max: u32,
}

impl TooLarge {
    fn help(&self) -> String {
        if mib(self.lines) <= u64::from(IMAGE_MIB_MAX) {
            format!(
                "set capacity-mib to at least {}, or shorten the lists",
                mib(self.lines)
            )
        } else {
            "no image can be larger; shorten the lists or use a database with fewer networks"
                .to_owned()
        }
    }
}

/// Lines as MiB, rounded up.
fn mib(lines: u32) -> u64 {
    (u64::from(lines) * size_of::<Line>() as u64).div_ceil(1 << 20)
}

/// Why there is no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Exceptions(#[from] ExceptionError),
}
