//! The privileges that the daemon keeps after the filter is attached, and the helper that has one more.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::config_source::ConfigSource;
use crate::checks::lockout::watcher::Watcher;
use crate::kernel::{Pins, has_tcx};
use crate::model::event_settings::{EventSettings, SyslogServer};
use crate::os::file_stamps::FileStamps;
use crate::os::instance::{Instance, private_directory};
use crate::os::privilege::{
    DroppedPrivileges, PrivilegeStatus, RetainedPrivilege, TcpPorts, drop_privileges,
};

/// What the daemon may still do.
#[derive(Debug)]
pub struct Privilege {
    dropped: DroppedPrivileges,
    /// The SSH session helper; `None` if it could not be started.
    pub(super) watcher: Option<Watcher>,
    /// Why there is no helper.
    pub(super) helper_error: Option<String>,
}

impl Privilege {
    /// Drops every privilege that an attached filter does not need. From then on the daemon loads no program, attaches
    /// only where it has a pin, and writes only to the directories of its instance and of its configuration.
    ///
    /// If the metrics address is still to be bound, that stays possible; so does what events need that go to a file or
    /// a server.
    #[must_use]
    pub fn drop(
        instance: &Instance,
        source: &ConfigSource,
        files: &FileStamps,
        unbound: Option<SocketAddr>,
        events: &EventSettings,
    ) -> Self {
        let (watcher, helper_error) = match Watcher::start() {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut retained = Vec::from_iter(RetainedPrivilege::to_read(files.paths()));
        if !has_tcx() {
            retained.push(RetainedPrivilege::to_attach_by_netlink());
        }
        Self {
            dropped: drop_privileges(
                retained,
                &writable_directories(instance, source, events),
                TcpPorts {
                    listen: unbound.iter().map(SocketAddr::port).collect(),
                    connect: events
                        .syslog
                        .iter()
                        .filter_map(SyslogServer::tcp_port)
                        .collect(),
                },
            ),
            watcher,
            helper_error,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = match PrivilegeStatus::read() {
            Ok(status) => status.to_json(&self.dropped),
            Err(error) => json!({ "error": error.to_string() }),
        };
        json["session_watcher"] = json!(self.watcher.as_ref().map(Watcher::process));
        json
    }
}

fn writable_directories(
    instance: &Instance,
    source: &ConfigSource,
    events: &EventSettings,
) -> Vec<PathBuf> {
    let state = instance.state_directory();
    // If it cannot be created, the first write to it reports that.
    let _ = private_directory(&state);
    let mut directories = vec![state, instance.run_directory(), Pins::root().to_owned()];
    directories.extend(
        events
            .file
            .as_ref()
            .and_then(|file| file.parent())
            .map(Path::to_owned),
    );
    // `geofence confirm` replaces the configuration file, by its name and behind a link.
    if let Some(file) = &source.file {
        let target = file.canonicalize().ok();
        for path in [Some(file), target.as_ref()].into_iter().flatten() {
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            directories.push(parent.unwrap_or(Path::new(".")).to_path_buf());
        }
    }
    directories
}
