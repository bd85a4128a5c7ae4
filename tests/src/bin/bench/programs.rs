//! One run with the programs: a tracker, a node a member, pipes to and from each.

use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::checks;
use super::figures::{Figures, Latency};
use super::listener::{Listener, News, Said, Shared};
use super::options::Run;
use super::process::{Process, Programs, Scratch, Tracker, start_node};
use super::workload::{self, Stamps};

/// How long the members may take to find each other, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// A run fails when nothing has been delivered for so long, though not all has.
const STALLED: Duration = Duration::from_secs(15);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Runs it; the error is what was wrong.
pub(crate) fn run(programs: &Programs, run: &Run) -> Result<Figures, String> {
    let scratch = Scratch::new()?;
    let tracker = Tracker::start(programs)?;
    let (mut nodes, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    for member in 0..run.members {
        let (node, input, output) = start_node(programs, &tracker, run, member, scratch.path())?;
        nodes.push(node);
        inputs.push(input);
        outputs.push(output);
    }
    let shared = Shared {
        stamps: Stamps::new(run),
        delivered: (0..run.members).map(|_| AtomicU64::new(0)).collect(),
        over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let (news, reports) = channel();
        let listening = listen(scope, run, &shared, &news, outputs);
        let mut conductor = Conductor { run, shared: &shared, nodes: &mut nodes, news, reports };
        let result = listening.and_then(|()| conductor.conduct(scope, inputs));
        // The threads end when the programs have.
        nodes.iter_mut().for_each(Process::kill);
        result
    })
}

fn listen<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    run: &'env Run,
    shared: &'env Shared,
    news: &Sender<News>,
    outputs: Vec<ChildStdout>,
) -> Result<(), String> {
    for (member, output) in outputs.into_iter().enumerate() {
        let listener = Listener::new(member, run, shared, news.clone())?;
        scope.spawn(move || listener.listen(output));
    }
    Ok(())
}

/// Leads a run from its beginning to its end.
struct Conductor<'env, 'nodes> {
    run: &'env Run,
    shared: &'env Shared,
    nodes: &'nodes mut [Process],
    news: Sender<News>,
    reports: Receiver<News>,
}

impl<'env> Conductor<'env, '_> {
    fn conduct<'scope>(
        &mut self,
        scope: &'scope thread::Scope<'scope, 'env>,
        inputs: Vec<ChildStdin>,
    ) -> Result<Figures, String> {
        self.assemble()?;
        let cpu = self.cpu();
        let kept = self.start_senders(scope, inputs);
        let (sent, inputs) = self.await_deliveries(kept)?;
        let cpu = self.cpu().saturating_sub(cpu);
        let peak_kib = self.nodes.iter().map(Process::peak_kib).max().unwrap_or(0);

        self.shared.over.store(true, Ordering::Release);
        drop(inputs);
        let said = self.await_ends()?;
        self.figures(&sent, said, cpu, peak_kib)
    }

    /// Waits until each member sees all members.
    fn assemble(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..self.run.members {
            match self.report(deadline)? {
                Some(News::Together) => {}
                Some(_) => return Err("a node has ended before it began".to_owned()),
                None => return Err(format!("the members have not found each other in {PATIENCE:?}")),
            }
        }
        Ok(())
    }

    /// Each sender has a thread, which gives its pipe back when all is sent. The other members' pipes.
    fn start_senders<'scope>(
        &self,
        scope: &'scope thread::Scope<'scope, 'env>,
        mut inputs: Vec<ChildStdin>,
    ) -> Vec<ChildStdin> {
        let (run, stamps, start) = (self.run, &self.shared.stamps, Instant::now());
        for (sender, mut input) in inputs.drain(..run.senders()).enumerate() {
            let news = self.news.clone();
            scope.spawn(move || {
                let news_of_it = match workload::send(run, start, stamps, sender, &mut input) {
                    Ok(sent) => News::Sent(sender, sent, input),
                    Err(error) => News::Wrong(format!("m{sender} takes no more input: {error}")),
                };
                _ = news.send(news_of_it);
            });
        }
        inputs
    }

    /// Waits until all has been sent and delivered everywhere. How many each member has sent, and all pipes.
    fn await_deliveries(&self, mut inputs: Vec<ChildStdin>) -> Result<(Vec<u64>, Vec<ChildStdin>), String> {
        let mut sent = vec![0; self.run.members];
        let mut sending = self.run.senders();
        let (mut progress, mut since) = (0, Instant::now());
        loop {
            match self.report(Instant::now() + LOOK)? {
                Some(News::Sent(sender, count, input)) => {
                    sent[sender] = count;
                    sending -= 1;
                    inputs.push(input);
                }
                Some(_) => return Err("a node has ended while it was measured".to_owned()),
                None => {}
            }
            let delivered: Vec<u64> =
                self.shared.delivered.iter().map(|count| count.load(Ordering::Acquire)).collect();
            let total: u64 = sent.iter().sum();
            if sending == 0 && delivered.iter().all(|&count| count >= total) {
                return Ok((sent, inputs));
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

    /// Waits until all nodes have ended in good order. All that they said.
    fn await_ends(&mut self) -> Result<Vec<Said>, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while said.len() < self.run.members {
            match self.report(deadline)? {
                Some(News::Ended(one)) => said.push(*one),
                Some(_) => {}
                None => return Err(format!("{} nodes do not end", self.run.members - said.len())),
            }
        }
        for (member, node) in self.nodes.iter_mut().enumerate() {
            node.end(PATIENCE).map_err(|why| format!("m{member} {why}"))?;
        }
        said.sort_by_key(|one| one.me);
        Ok(said)
    }

    fn figures(
        &self,
        sent: &[u64],
        said: Vec<Said>,
        cpu: Duration,
        peak_kib: u64,
    ) -> Result<Figures, String> {
        let (mut heard, mut datagrams, mut retransmitted) = (Vec::new(), 0, 0);
        for Said { me, heard: one, bye } in said {
            let bye = bye.ok_or_else(|| format!("m{me} has ended without a last word"))?;
            if (bye.sent, bye.received) != (sent[me], one.count()) {
                let (sent, count) = (sent[me], one.count());
                return Err(format!("m{me} says {bye:?}, but has sent {sent} and delivered {count}"));
            }
            datagrams += bye.datagrams;
            retransmitted += bye.retransmitted;
            heard.push(one);
        }
        checks::compare(&heard, sent)?;
        let deliveries: u64 = heard.iter().map(checks::Heard::count).sum();
        let slowest = heard.iter().map(checks::Heard::per_second).fold(f64::INFINITY, f64::min);
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

    fn cpu(&self) -> Duration {
        self.nodes.iter().map(Process::cpu).sum()
    }

    /// The next report, if there is one before the deadline; the error is what has gone wrong.
    fn report(&self, deadline: Instant) -> Result<Option<News>, String> {
        match self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(News::Wrong(why)) => Err(why),
            Ok(news) => Ok(Some(news)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("nobody is left".to_owned()),
        }
    }
}
