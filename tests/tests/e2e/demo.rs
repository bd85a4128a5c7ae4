//! `scripts/demo`: a tracker and three people in panes of tmux.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::World;
use crate::process::{PATIENCE, program};

/// A server of tmux of this test's own, which ends with it.
struct Tmux<'a> {
    world: &'a World,
    session: String,
}

impl Tmux<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let directory = self.world.data("tmux");
        std::fs::create_dir_all(&directory).unwrap();
        command.env("TMUX_TMPDIR", &directory).env("TMPDIR", &directory).env_remove("TMUX");
        command
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.command("tmux").args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Looks at a pane until these words are there.
    fn shows(&self, pane: u32, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.says(&["capture-pane", "-p", "-t", &format!("{}.{pane}", self.session)]);
            if screen.contains(words) {
                return;
            }
            assert!(Instant::now() < deadline, "pane {pane} does not show {words:?}:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.says(&["kill-server"]);
    }
}

#[test]
fn the_demo_shows_three_people_who_talk_side_by_side() {
    if Command::new("tmux").arg("-V").output().is_err() {
        eprintln!("skipped: tmux is missing (for example: apt-get install tmux)");
        return;
    }
    let world = World::new();
    let mut tmux = Tmux { world: &world, session: String::new() };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/demo");
    let (node, mut demo) = (program("node"), tmux.command(script));
    demo.arg("--programs").arg(Path::new(node.get_program()).parent().unwrap()).arg("total");
    node.get_envs().for_each(|(variable, _)| _ = demo.env_remove(variable));
    let started = demo.env("DEMO_DETACHED", "1").output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    tmux.session = String::from_utf8_lossy(&started.stdout).trim().to_owned();
    for pane in 1..=3 {
        tmux.shows(pane, "(3 here)");
    }
    tmux.says(&["send-keys", "-t", &format!("{}.1", tmux.session), "hello from a pane", "Enter"]);
    for pane in 2..=3 {
        tmux.shows(pane, "ann: hello from a pane");
    }
}
