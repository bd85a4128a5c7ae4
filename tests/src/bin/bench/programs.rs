//! One run with the programs: a tracker, a node a member, pipes to and from each.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::conductor::{Conductor, PATIENCE};
use super::figures::Figures;
use super::listener;
use super::options::Run;
use super::process::{Process, Programs, Scratch, Tracker, start_node};
use super::witness::{News, Shared, Witness};
use super::workload;

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
    let shared = Shared::new(run);
    thread::scope(|scope| {
        let (news, reports) = channel();
        let conductor = Conductor { run, shared: &shared, reports };
        let result = listen(scope, run, &shared, &news, outputs)
            .and_then(|()| conduct(scope, &conductor, &news, inputs, &mut nodes));
        // The threads end when the programs have.
        nodes.iter_mut().for_each(Process::kill);
        result
    })
}

fn listen<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    run: &'env Run,
    shared: &'env Shared,
    news: &Sender<News>,
    outputs: Vec<ChildStdout>,
) -> Result<(), String> {
    for (member, output) in outputs.into_iter().enumerate() {
        let witness = Witness::new(member, run, shared, news)?;
        scope.spawn(move || listener::listen(witness, output));
    }
    Ok(())
}

fn conduct<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    conductor: &Conductor<'env>,
    news: &Sender<News>,
    inputs: Vec<ChildStdin>,
    nodes: &mut [Process],
) -> Result<Figures, String> {
    let cpu_of = |nodes: &[Process]| nodes.iter().map(Process::cpu).sum::<Duration>();
    conductor.assemble()?;
    let cpu = cpu_of(nodes);
    start_senders(scope, conductor, news, &inputs)?;
    let sent = conductor.await_deliveries()?;
    let cpu = cpu_of(nodes).saturating_sub(cpu);
    let peak_kib = nodes.iter().map(Process::peak_kib).max().unwrap_or(0);

    conductor.shared.over.store(true, Ordering::Release);
    drop(inputs);
    let said = conductor.await_ends()?;
    for (member, node) in nodes.iter_mut().enumerate() {
        node.end(PATIENCE).map_err(|why| format!("m{member} {why}"))?;
    }
    conductor.figures(&sent, said, cpu, peak_kib)
}

/// Each sender has a thread, which writes to its node's pipe; that stays open when all is sent.
fn start_senders<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    conductor: &Conductor<'env>,
    news: &Sender<News>,
    inputs: &[ChildStdin],
) -> Result<(), String> {
    let (run, stamps, start) = (conductor.run, &conductor.shared.stamps, Instant::now());
    for (sender, input) in inputs.iter().enumerate().take(run.senders()) {
        let input = input.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        let news = news.clone();
        scope.spawn(move || {
            _ = news.send(match workload::send(run, start, stamps, sender, &mut File::from(input)) {
                Ok(sent) => News::Sent(sender, sent),
                Err(error) => News::Wrong(format!("m{sender} takes no more input: {error}")),
            });
        });
    }
    Ok(())
}
