//! The boot clock, which the data path counts in, and the wall clock beside it. It knows neither the kernel module nor
//! the daemon.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::read;
use tokio::sync::Notify;

use crate::model::units::UnixSeconds;

const SECOND: i128 = 1_000_000_000;

/// Why the boot clock cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read CLOCK_BOOTTIME: clock_gettime: {cause}")]
pub struct ClockError {
    cause: io::Error,
}

/// Nanoseconds since boot, as the data path counts them.
pub fn boot_now() -> Result<u64, ClockError> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|errno| ClockError {
        cause: errno.into(),
    })?;
    Ok(u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
}

/// How far the wall clock is ahead of the boot clock. Only a set wall clock changes it: both clocks run at one rate,
/// and both go on in suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(i128);

impl Offset {
    /// The offset of the clocks as they are now.
    pub fn now() -> Result<Self, ClockError> {
        let boot = boot_now()?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = wall.map_or_else(
            |before| -(before.duration().as_nanos() as i128),
            |since| since.as_nanos() as i128,
        );
        Ok(Self(wall - i128::from(boot)))
    }

    /// The offset at a moment that both clocks measured, the wall clock in whole seconds.
    #[must_use]
    pub fn at(wall: UnixSeconds, boot: u64) -> Self {
        Self(i128::from(wall.0) * SECOND - i128::from(boot))
    }

    /// Whether the wall clock was set in between. What whole seconds do not show is too little to tell.
    #[must_use]
    pub const fn differs(self, other: Self) -> bool {
        (self.0 - other.0).abs() >= 2 * SECOND
    }

    /// The time of the wall clock at a time since boot, rounded down.
    #[must_use]
    pub fn wall_at(self, boot: u64) -> UnixSeconds {
        let seconds = (self.0 + i128::from(boot)).div_euclid(SECOND);
        UnixSeconds(u64::try_from(seconds.max(0)).unwrap_or(u64::MAX))
    }
}

/// Notifies whenever the wall clock is set, on a thread of its own.
///
/// # Errors
/// When the kernel gives no timer, or there is no room for a thread.
pub fn notify_when_set(notice: Arc<Notify>) -> io::Result<()> {
    /// Later than any clock is set.
    const FAR: i64 = i64::MAX / 4_000_000_000;
    let timer = TimerFd::new(
        nix::sys::timerfd::ClockId::CLOCK_REALTIME,
        TimerFlags::TFD_CLOEXEC,
    )?;
    timer.set(
        Expiration::OneShot(TimeSpec::seconds(FAR)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
    )?;
    let wait = move || {
        let mut expirations = [0; 8];
        follow(|| read(&timer, &mut expirations), &notice);
    };
    std::thread::Builder::new()
        .name("wall clock".to_owned())
        .spawn(wait)
        .map(drop)
}

/// Notifies whenever a read of the timer says that the clock was set: the kernel cancels the timer then, and it goes
/// on. Ends with a timer that expires or cannot be read.
fn follow(mut read: impl FnMut() -> nix::Result<usize>, notice: &Notify) {
    loop {
        match read() {
            Err(Errno::ECANCELED) => notice.notify_one(),
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn each_cancelled_timer_is_a_notice_and_an_interrupted_read_is_none() {
        let has_notice = |results: &[nix::Result<usize>]| {
            let (notice, mut results) = (Notify::new(), results.iter().copied());
            follow(|| results.next().unwrap_or(Err(Errno::EBADF)), &notice);
            assert_eq!(results.next(), None, "it went on after its end");
            let notified = pin!(notice.notified());
            let mut context = Context::from_waker(Waker::noop());
            Future::poll(notified, &mut context).is_ready()
        };
        assert!(has_notice(&[Err(Errno::ECANCELED)]));
        assert!(has_notice(&[
            Err(Errno::EINTR),
            Err(Errno::ECANCELED),
            Err(Errno::ECANCELED)
        ]));
        assert!(!has_notice(&[Err(Errno::EINTR)]));
        assert!(!has_notice(&[Ok(8)]));
    }

    #[test]
    fn offset_differs_when_the_wall_clock_is_set_and_not_while_it_runs() {
        let offset = Offset::at(UnixSeconds(1_000), 5 * SECOND as u64);
        // Whole seconds cut off what is behind the comma, and a look takes a moment.
        assert!(!offset.differs(Offset(offset.0 + SECOND - 1)));
        assert!(!offset.differs(Offset(offset.0 - SECOND / 2)));
        assert!(offset.differs(Offset::at(UnixSeconds(1_003), 5 * SECOND as u64)));
        assert!(offset.differs(Offset::at(UnixSeconds(10), 5 * SECOND as u64)));
        assert_eq!(offset.wall_at(8 * SECOND as u64 - 1), UnixSeconds(1_002));
        assert_eq!(Offset(-SECOND).wall_at(0), UnixSeconds(0));
    }

    #[test]
    fn kernel_gives_a_timer_that_a_set_clock_cancels() {
        notify_when_set(Arc::default()).unwrap();
    }
}
