//! Wakeups finer than a millisecond, where the poll has none.
//!
//! Linux's `epoll_wait` counts in milliseconds, and mio rounds up; a retransmission that is due after half a
//! millisecond would come after one or two. A timer in the poll ends the wait in time. Elsewhere the poll itself is
//! fine enough.

use std::io;
use std::time::Duration;

/// Deadlines farther away than this are left to the poll, where a millisecond more does not matter.
#[cfg(target_os = "linux")]
const FINE: Duration = Duration::from_millis(20);

/// Ends the next waits in time.
#[derive(Debug)]
pub(super) struct Timer {
    #[cfg(target_os = "linux")]
    fd: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Timer {
    pub(super) fn new(registry: &mio::Registry) -> io::Result<Timer> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use std::os::fd::AsRawFd;

        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let raw = fd.as_raw_fd();
        registry.register(&mut mio::unix::SourceFd(&raw), super::token::TIMER, mio::Interest::READABLE)?;
        Ok(Timer { fd })
    }

    /// The poll is about to wait that long. Being edge-triggered, the timer need not be read, and one left from an
    /// earlier wait ends a later one at most once.
    pub(super) fn arm(&self, timeout: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        if timeout.is_zero() || timeout > FINE {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() },
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Timer {
    pub(super) fn new(_registry: &mio::Registry) -> io::Result<Timer> {
        Ok(Timer {})
    }

    pub(super) fn arm(&self, _timeout: Duration) -> io::Result<()> {
        Ok(())
    }
}
