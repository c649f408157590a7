//! The pinned tables of an instance: found, staged beside the ones in use, and put in their place.

use std::fs;
use std::path::{Path, PathBuf};

use super::bpffs::{entries, remove};
use super::pin_error::PinError;
use super::pins::Pins;

impl Pins {
    /// The pin of a table.
    pub(super) fn table(&self, table: &str) -> PathBuf {
        self.tables().join(table)
    }

    fn staged_table(&self, table: &str) -> PathBuf {
        self.table(&format!("{table}-new"))
    }

    /// Where versions with other table layouts may have left a table.
    pub(super) fn tables_of_other_layouts(&self, table: &str) -> Vec<PathBuf> {
        // A directory that cannot be read fails when pins are made.
        let others = self.other_layouts().unwrap_or_default().into_iter();
        others.map(|path| path.join(table)).collect()
    }

    fn other_layouts(&self) -> Result<Vec<PathBuf>, PinError> {
        let mut paths = entries(&self.directory)?;
        paths.retain(|path| *path != self.links() && *path != self.tables());
        Ok(paths)
    }

    /// Removes the tables of other layouts, which nothing reads any more once their counters were copied.
    pub(super) fn remove_other_layouts(&self) -> Result<(), PinError> {
        for path in self.other_layouts()? {
            fs::remove_dir_all(&path).map_err(PinError::file("remove", &path))?;
        }
        Ok(())
    }

    /// Pins a table beside the one that the running program writes.
    pub(super) fn stage_table(
        &self,
        table: &str,
        pin: impl FnOnce(&Path) -> Result<(), aya::pin::PinError>,
    ) -> Result<(), PinError> {
        let staged = self.staged_table(table);
        remove(&staged)?;
        pin(&staged).map_err(PinError::pinning(&staged))
    }

    /// Moves a staged table to where the next start finds it, in place of the old one.
    pub(super) fn commit_table(&self, table: &str) -> Result<(), PinError> {
        let path = self.table(table);
        fs::rename(self.staged_table(table), &path).map_err(PinError::file("replace", &path))
    }

    /// Removes staged tables that are not needed after all.
    pub(super) fn drop_staged(&self, tables: &[&'static str]) {
        for table in tables {
            // The next start that stages the table removes what stays.
            let _ = remove(&self.staged_table(table));
        }
    }
}
