//! What happened, line by line, for people.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fmt::Write as _;

use decury_common::base::id::Incarnation;
use decury_common::base::time::Instant;

use super::frames;
use super::history::{Record, What};
use super::host::HostId;

/// Keeps the last lines, and prints all of them if asked to.
#[derive(Clone, Debug)]
pub struct Trace {
    tail: VecDeque<String>,
    keep: usize,
    print: bool,
    names: Names,
}

/// The names of incarnations: `n3` for the first start of host 3, `n3b` for the second.
#[derive(Clone, Debug, Default)]
pub struct Names {
    of: BTreeMap<Incarnation, String>,
    starts: BTreeMap<HostId, u8>,
}

impl Names {
    /// Host `host` has started as `incarnation`.
    pub fn started(&mut self, host: HostId, incarnation: Incarnation) {
        let starts = self.starts.entry(host).or_default();
        let suffix =
            if *starts == 0 { String::new() } else { char::from(b'a' + (*starts).min(25)).to_string() };
        *starts = starts.saturating_add(1);
        self.of.insert(incarnation, format!("{host}{suffix}"));
    }

    /// The text with every known incarnation replaced by its name (and `n3.0` by `n3`: joins are rarely repeated).
    pub fn translate(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (incarnation, name) in &self.of {
            let digits = incarnation.to_string();
            if text.contains(&digits) {
                text = text.replace(&format!("{digits}.0"), name).replace(&digits, name);
            }
        }
        text
    }
}

impl Trace {
    /// A trace that keeps the last `keep` lines, and prints every line at once if `print`.
    pub fn new(keep: usize, print: bool) -> Trace {
        Trace { tail: VecDeque::new(), keep, print, names: Names::default() }
    }

    /// The last lines.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }

    /// Who is who.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// A line.
    pub fn line(&mut self, at: Instant, text: fmt::Arguments<'_>) {
        let mut line = format!("{at} ");
        // Writing into a string does not fail.
        let _ = line.write_fmt(text);
        let line = self.names.translate(&line);
        if self.print {
            println!("{line}");
        }
        self.tail.push_back(line);
        if self.tail.len() > self.keep {
            self.tail.pop_front();
        }
    }

    /// A datagram, as `what` happens to it.
    pub fn datagram(&mut self, at: Instant, link: (HostId, HostId), what: &str, bytes: &[u8]) {
        // Heartbeats would fill the tail with nothing.
        let dull = frames::is_heartbeat(bytes);
        if dull && !self.print {
            return;
        }
        let (from, to) = link;
        self.line(at, format_args!("{from} -> {to} {what}: {}", frames::describe(bytes).trim_start()));
    }

    /// Something that a user could see.
    pub fn record(&mut self, record: &Record) {
        let host = record.host;
        match &record.what {
            What::Started { incarnation, .. } => {
                self.names.started(host, *incarnation);
                self.line(record.at, format_args!("{host} STARTS as {incarnation}"));
            }
            What::Remembers { known } => {
                self.line(record.at, format_args!("{host} remembers {} members' messages", known.len()));
            }
            What::Clock(clock) => {
                self.line(record.at, format_args!("{host} has a clock {} ppm fast", clock.ppm));
            }
            What::Killed => self.line(record.at, format_args!("{host} IS KILLED")),
            What::Joining { group, member } => {
                self.line(record.at, format_args!("{host} joins {group} as {member}"));
            }
            What::Refused { group, .. } => self.line(record.at, format_args!("{host} is refused by {group}")),
            What::View { group, view, .. } => {
                let members: Vec<String> = view.members.iter().map(|(id, _)| id.to_string()).collect();
                let (id, order) = (view.id, view.order);
                let members = members.join(" ");
                self.line(record.at, format_args!("{host} VIEW {group} {id} {order} {{{members}}}"));
            }
            What::Sent { group, id, payload } => {
                let size = payload.len();
                self.line(record.at, format_args!("{host} sends {group} {id} ({size} bytes)"));
            }
            What::Delivered { group, delivery, .. } => {
                let (id, view) = (delivery.id, delivery.view);
                let mark = if delivery.uniform == Some(false) { ", marked" } else { "" };
                self.line(record.at, format_args!("{host} delivers {group} {id} in {view}{mark}"));
            }
            What::Told { group, delivery, .. } => {
                self.line(record.at, format_args!("{host} is told {group} {}", delivery.id));
            }
            What::Gap { group, .. } => {
                self.line(record.at, format_args!("{host} is told nothing of {group}"));
            }
            What::Said { to, id, payload } => {
                let size = payload.len();
                self.line(record.at, format_args!("{host} says {id} to {to} ({size} bytes)"));
            }
            What::Listed { groups } => self.line(record.at, format_args!("{host} lists {groups:?}")),
            What::Promised { id } => self.line(record.at, format_args!("{host} is promised {id}")),
            What::Heard { id, .. } => self.line(record.at, format_args!("{host} hears {id}")),
            What::Confirmed { id } => self.line(record.at, format_args!("{host} knows {id} confirmed")),
            What::Unconfirmed { id } => self.line(record.at, format_args!("{host} gives {id} up")),
            What::Measured { id, latency } => {
                let (time, error) = (latency.time, latency.clock_error);
                self.line(
                    record.at,
                    format_args!("{host} measures {time:?} of {id}, give or take {error:?}"),
                );
            }
            What::Ending => self.line(record.at, format_args!("{host} is about to end")),
            What::Noticed { group, notice, .. } => {
                self.line(record.at, format_args!("{host} is told of {group}: {notice:?}"));
            }
            What::Stopped(_) | What::Disturbed(_) => {}
            What::Leaving { group, .. } => self.line(record.at, format_args!("{host} leaves {group}")),
            What::Left { group, clean, .. } => {
                let how = if *clean { "cleanly" } else { "by time-out" };
                self.line(record.at, format_args!("{host} LEFT {group} {how}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_read_as_hosts() {
        let mut names = Names::default();
        names.started(HostId(3), Incarnation(0xabc));
        names.started(HostId(3), Incarnation(0xdef));
        let text = names.translate("7@0000000000000abc.0 and 0000000000000def.2-9");
        assert_eq!(text, "7@n3 and n3b.2-9");
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        let mut trace = Trace::new(2, false);
        for number in 0..5 {
            trace.line(Instant::ZERO, format_args!("{number}"));
        }
        assert_eq!(trace.tail().collect::<Vec<_>>(), ["0.000000s 3", "0.000000s 4"]);
    }
}
