//! Metrics of the process, by the names that client libraries of Prometheus give them.

use std::fmt::Error;

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo as _};

use super::families::Families;

/// What the kernel says of this process.
struct Usage {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: i64,
    open_fds: usize,
    /// None if there is no limit.
    max_fds: Option<u64>,
}

impl Usage {
    fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let booted = procfs::boot_time_secs()? as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(value) => Some(value),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: booted + stat.starttime as f64 / ticks,
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads,
            open_fds: process.fd_count()?,
            max_fds,
        })
    }
}

/// Writes them. Where /proc cannot be read, the filter's own metrics are worth more than an error.
pub(super) fn encode(families: &mut Families<'_>) -> Result<(), Error> {
    let Ok(usage) = Usage::read() else {
        return Ok(());
    };
    families.counters(
        "process_cpu_seconds",
        "CPU time in user and system mode",
        [([("", ""); 0], usage.cpu_seconds)],
    )?;
    let mut gauge = |name, help, value: f64| families.gauges(name, help, [([("", ""); 0], value)]);
    gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970",
        usage.start_seconds,
    )?;
    gauge(
        "process_resident_memory_bytes",
        "Memory in use",
        usage.resident_bytes as f64,
    )?;
    gauge(
        "process_virtual_memory_bytes",
        "Address space in use",
        usage.virtual_bytes as f64,
    )?;
    gauge("process_threads", "Threads", usage.threads as f64)?;
    gauge(
        "process_open_fds",
        "Open file descriptors",
        usage.open_fds as f64,
    )?;
    if let Some(max) = usage.max_fds {
        gauge(
            "process_max_fds",
            "How many file descriptors may be open",
            max as f64,
        )?;
    }
    Ok(())
}
