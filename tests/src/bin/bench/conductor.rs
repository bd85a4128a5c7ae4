//! Leads a run from its beginning to its end, whatever its members are: they report, and their reports are added up.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::checks::{self, Heard};
use super::figures::{Figures, Latency};
use super::options::Run;
use super::witness::{News, Said, Shared};

/// How long the members may take to find each other, and to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A run fails when nothing has been delivered for so long, though not all has.
const STALLED: Duration = Duration::from_secs(15);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Conductor<'a> {
    pub(crate) run: &'a Run,
    pub(crate) shared: &'a Shared,
    pub(crate) reports: Receiver<News>,
}

impl Conductor<'_> {
    /// Waits until each member sees all members.
    pub(crate) fn assemble(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..self.run.members {
            match self.report(deadline)? {
                Some(News::Together) => {}
                Some(_) => return Err("a member has ended before it began".to_owned()),
                None => return Err(format!("the members have not found each other in {PATIENCE:?}")),
            }
        }
        Ok(())
    }

    /// Waits until all has been sent and delivered everywhere. How many each member has sent.
    pub(crate) fn await_deliveries(&self) -> Result<Vec<u64>, String> {
        let mut sent = vec![0; self.run.members];
        let mut sending = self.run.senders();
        let (mut progress, mut since) = (0, Instant::now());
        loop {
            match self.report(Instant::now() + LOOK)? {
                Some(News::Sent(sender, count)) => {
                    sent[sender] = count;
                    sending -= 1;
                }
                Some(_) => return Err("a member has ended while it was measured".to_owned()),
                None => {}
            }
            let delivered = self.shared.delivered.iter().map(|count| count.load(Ordering::Acquire));
            let delivered: Vec<u64> = delivered.collect();
            let total: u64 = sent.iter().sum();
            if sending == 0 && delivered.iter().all(|&count| count >= total) {
                return Ok(sent);
            }
            let sum = delivered.iter().sum();
            if sum != progress {
                (progress, since) = (sum, Instant::now());
            }
            if since.elapsed() > STALLED {
                return Err(format!("nothing is delivered any more: {delivered:?} of {total} messages"));
            }
        }
    }

    /// Waits until all members, who have been told, have ended in good order. All that they said.
    pub(crate) fn await_ends(&self) -> Result<Vec<Said>, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while said.len() < self.run.members {
            match self.report(deadline)? {
                Some(News::Ended(one)) => said.push(*one),
                Some(_) => {}
                None => return Err(format!("{} members do not end", self.run.members - said.len())),
            }
        }
        said.sort_by_key(|one| one.me);
        Ok(said)
    }

    /// The figures, if all that was said fits together.
    pub(crate) fn figures(
        &self,
        sent: &[u64],
        said: Vec<Said>,
        cpu: Duration,
        peak_kib: u64,
    ) -> Result<Figures, String> {
        let (mut heard, mut datagrams, mut retransmitted) = (Vec::new(), 0, 0);
        for Said { me, heard: one, bye } in said {
            if (bye.sent, bye.received) != (sent[me], one.count()) {
                let (sent, count) = (sent[me], one.count());
                return Err(format!("m{me} says {bye:?}, but has sent {sent} and delivered {count}"));
            }
            datagrams += bye.datagrams;
            retransmitted += bye.retransmitted;
            heard.push(one);
        }
        checks::compare(&heard, sent)?;
        let deliveries: u64 = heard.iter().map(Heard::count).sum();
        let slowest = heard.iter().map(Heard::per_second).fold(f64::INFINITY, f64::min);
        Ok(Figures {
            run: *self.run,
            sent: sent.iter().sum(),
            deliveries,
            deliveries_per_s: slowest,
            latency_us: Latency::of(&checks::latencies(&heard)?),
            cpu_us_per_delivery: cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64,
            datagrams,
            retransmitted,
            peak_kib,
        })
    }

    /// The next report, if there is one before the deadline; the error is what has gone wrong.
    fn report(&self, deadline: Instant) -> Result<Option<News>, String> {
        match self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(News::Wrong(why)) => Err(why),
            Ok(news) => Ok(Some(news)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("no member is left".to_owned()),
        }
    }
}
