//! Keeping a thread on one core, and so its frames in one queue of a link.

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// The calling thread, kept on one core until this goes out of scope.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
    // It is about a thread, so it stays in it.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Pinned {
    /// Keeps the thread on the core that it runs on.
    pub fn here() -> Result<Self> {
        Self::on(sched_getcpu().context("asking for the current core")?)
    }

    /// Keeps the thread on the core of this number; a machine with fewer cores takes turns at them.
    pub fn to(core: usize) -> Result<Self> {
        let cores = sysconf(SysconfVar::_NPROCESSORS_ONLN)?.context("no count of the cores")?;
        Self::on(core % usize::try_from(cores)?)
    }

    fn on(core: usize) -> Result<Self> {
        let this_thread = Pid::from_raw(0);
        let before = sched_getaffinity(this_thread).context("asking for a thread's cores")?;
        let mut set = CpuSet::new();
        set.set(core)?;
        sched_setaffinity(this_thread, &set)
            .with_context(|| format!("keeping a thread on core {core}"))?;
        Ok(Self {
            before,
            _thread: std::marker::PhantomData,
        })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was the thread's set before, so it is one that the kernel accepts.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}
