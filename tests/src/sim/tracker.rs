//! A host that runs a tracker's engine, which forgets everything when it is killed.

use std::rc::Rc;
use std::time::Duration;

use decury_common::base::id::GroupName;
use decury_common::machine::{Machine, StreamMachine, Wakeup};
use decury_tracker::server::{Config, Server};

use super::host::{Command, Desk, Program, Starter};

const HEARTBEAT: Duration = Duration::from_secs(5);
const LEASE: Duration = Duration::from_secs(15);

/// Starts trackers.
pub fn starter() -> Starter {
    Rc::new(|_| {
        let config = Config { heartbeat: HEARTBEAT, lease: LEASE };
        Box::new(TrackerHost { server: Server::new(config) })
    })
}

#[derive(Clone)]
struct TrackerHost {
    server: Server,
}

impl Program for TrackerHost {
    fn machine(&mut self) -> Option<&mut dyn Machine> {
        None
    }

    fn accepts(&self) -> bool {
        true
    }

    fn streams(&mut self) -> Option<&mut dyn StreamMachine> {
        Some(&mut self.server)
    }

    fn command(&mut self, _command: Command, _desk: &mut Desk<'_>) {}

    fn attend(&mut self, _desk: &mut Desk<'_>) -> bool {
        false
    }

    fn wakeup(&self) -> Option<Wakeup> {
        None
    }

    fn wants(&self, _group: GroupName) -> bool {
        false
    }

    fn status(&self) -> String {
        format!("{:?}", self.server.directory())
    }

    fn boxed_clone(&self) -> Box<dyn Program> {
        Box::new(self.clone())
    }
}
