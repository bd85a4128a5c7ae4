//! Runs seed after seed of the simulator, until one breaks a promise or all are done.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use decury_tests::sim::plan::Plan;
use decury_tests::sim::report;
use decury_tests::sim::run::{self, Outcome};
use decury_tests::sim::shrink::shrink;

/// Runs that making a plan smaller may take.
const SHRINK_RUNS: usize = 1_000;

/// Simulates groups under faults, one run per seed, and checks the protocol's promises.
#[derive(Debug, Parser)]
struct Args {
    /// How many runs.
    #[arg(long, default_value_t = 1000)]
    runs: u64,
    /// The first run's seed; the others count up from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Start no further run after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Print all that happens.
    #[arg(long)]
    trace: bool,
    /// Make the first failing plan smaller before reporting it.
    #[arg(long)]
    shrink: bool,
    /// Go on after a violation, and list the seeds of all.
    #[arg(long)]
    keep_going: bool,
}

/// What all threads share.
struct Swarm {
    args: Args,
    started: Instant,
    next: AtomicU64,
    stop: AtomicBool,
    done: AtomicU64,
    turns: AtomicU64,
    datagrams: AtomicU64,
    delivered: AtomicU64,
    virtual_seconds: AtomicU64,
    failed: Mutex<Vec<(u64, String)>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    report::catch_panics();
    let swarm = Swarm {
        started: Instant::now(),
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        done: AtomicU64::new(0),
        turns: AtomicU64::new(0),
        datagrams: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        virtual_seconds: AtomicU64::new(0),
        failed: Mutex::new(Vec::new()),
        args,
    };
    let jobs = if swarm.args.trace { 1 } else { swarm.args.jobs.max(1) };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| swarm.work())).collect();
        let mut told = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::park_timeout(Duration::from_millis(100));
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                eprintln!("{}", swarm.figures());
            }
        }
    });
    println!("{}", swarm.figures());
    let failed = swarm.failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    for (seed, what) in &failed {
        println!("seed {seed}: {what}");
    }
    ExitCode::FAILURE
}

impl Swarm {
    fn work(&self) {
        while let Some(seed) = self.next_seed() {
            let plan = Plan::from_seed(seed);
            let print = self.args.trace && !self.args.shrink;
            let outcome = if print { run::run_printed(&plan) } else { run::run(&plan) };
            self.done.fetch_add(1, Ordering::Relaxed);
            self.turns.fetch_add(outcome.figures.turns, Ordering::Relaxed);
            self.datagrams.fetch_add(outcome.figures.sent, Ordering::Relaxed);
            self.delivered.fetch_add(outcome.delivered, Ordering::Relaxed);
            self.virtual_seconds.fetch_add(outcome.ended.as_micros() / 1_000_000, Ordering::Relaxed);
            self.judge(&plan, &outcome);
        }
    }

    fn next_seed(&self) -> Option<u64> {
        let late = self.args.minutes.is_some_and(|minutes| self.started.elapsed().as_secs() >= minutes * 60);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let go = !late && !self.stop.load(Ordering::Relaxed) && number < self.args.runs;
        go.then(|| self.args.seed.wrapping_add(number))
    }

    fn judge(&self, plan: &Plan, outcome: &Outcome) {
        let Some(violation) = &outcome.violation else { return };
        let mut failed = self.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !self.args.keep_going {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.tell(plan, outcome, failed.is_empty());
        failed.push((plan.seed, violation.to_string()));
    }

    fn tell(&self, plan: &Plan, outcome: &Outcome, is_first: bool) {
        if !self.args.shrink || !is_first {
            println!("{}\n", report::report(plan, outcome));
            return;
        }
        let (smaller, ended) = shrink(plan, outcome, SHRINK_RUNS);
        println!("{} --shrink\n", report::report(&smaller, &ended));
        if self.args.trace {
            println!("ALL OF THE SMALLER PLAN:");
            run::run_printed(&smaller);
        }
    }

    fn figures(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let per_second = |counter: &AtomicU64| get(counter) as f64 / seconds;
        format!(
            "{} runs in {seconds:.1} s: {:.1} runs/s, {:.0} events/s, {:.0} datagrams/s, {} messages delivered, {} virtual hours",
            get(&self.done),
            per_second(&self.done),
            per_second(&self.turns),
            per_second(&self.datagrams),
            get(&self.delivered),
            get(&self.virtual_seconds) / 3600,
        )
    }
}
