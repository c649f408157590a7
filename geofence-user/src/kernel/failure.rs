//! What a kernel error counts as when a command or a reload fails.

use super::filter::LoadError;
use crate::model::failure::{Cause, Failure};

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let cause = if matches!(error, LoadError::ImageTooLarge { .. }) {
            Cause::Capacity
        } else {
            Cause::Kernel
        };
        Self::new(cause, error)
    }
}
