//! What a passer-by asks a tracker, sans-IO: which runs have been reported. It does not sign in.
//!
//! The trackers named are tried one after the other until one answers. Each has its share of the time; an answer that
//! is one part of several begins that anew.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::limits::RUNS_MAX;
use decury_common::base::time::Instant;
use decury_common::machine::{StreamAction, StreamId, StreamMachine, Wakeup};
use decury_common::wire::figures::Run;
use decury_common::wire::stream::{self, FrameReader};
use decury_common::wire::tracker::{Answer, Asked, Closing, Refusal, Request, Told};
use thiserror::Error;

/// A tracker that has not answered after this time does not answer.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The connection was refused, or ended.
    #[error("no tracker answers there")]
    NoConnection,
    /// Nothing came in time.
    #[error("no answer within {} s", ANSWERED_WITHIN.as_secs())]
    NoAnswer,
    /// What came is not the tracker's protocol, or makes no sense there.
    #[error("what answers there is no tracker of this version")]
    NoTracker,
    /// The tracker closed the connection.
    #[error("{0}")]
    Closing(#[from] Closing),
    /// The tracker refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// One question, on its way through the trackers.
#[derive(Clone, Debug)]
pub struct Enquiry {
    /// The one that is asked, and those that are not asked yet.
    trackers: VecDeque<SocketAddr>,
    stream: StreamId,
    reader: FrameReader,
    /// When the answer must be there.
    until: Instant,
    /// When that of the last tracker must be.
    end: Instant,
    runs: Vec<Run>,
    ended: Option<Result<(), Trouble>>,
    actions: VecDeque<StreamAction>,
}

impl Enquiry {
    /// Asks the first of the trackers. [`Enquiry::outcome`] is there within [`ANSWERED_WITHIN`] unless answers come in
    /// parts.
    pub fn new(now: Instant, trackers: impl IntoIterator<Item = SocketAddr>) -> Enquiry {
        let mut enquiry = Enquiry {
            trackers: trackers.into_iter().collect(),
            stream: StreamId(0),
            reader: FrameReader::new(),
            until: now,
            end: now + ANSWERED_WITHIN,
            runs: Vec::new(),
            ended: None,
            actions: VecDeque::new(),
        };
        enquiry.connect(now);
        enquiry
    }

    /// The runs, the oldest first, or why there is no answer; `None` while it is awaited.
    pub fn outcome(&self) -> Option<Result<&[Run], Trouble>> {
        self.ended.map(|ended| ended.map(|()| &self.runs[..]))
    }

    /// Asks the tracker that is first now.
    fn connect(&mut self, now: Instant) {
        let Some(&to) = self.trackers.front() else {
            self.ended = Some(Err(Trouble::NoConnection));
            return;
        };
        let left = u32::try_from(self.trackers.len()).unwrap_or(u32::MAX);
        self.until = now + self.end.since(now) / left;
        self.actions.push_back(StreamAction::Open { stream: self.stream, to });
    }

    fn ask(&mut self) {
        let body = Request::Runs { after: self.runs.last().map(|run| run.number) };
        let bytes = stream::encode(&Asked { request: 0, body });
        self.actions.push_back(StreamAction::Write { stream: self.stream, bytes });
    }

    /// This tracker has not answered: on to the next. The last one's trouble is told.
    fn give_up(&mut self, now: Instant, trouble: Trouble) {
        self.actions.push_back(StreamAction::Close { stream: self.stream });
        self.trackers.pop_front();
        if self.trackers.is_empty() {
            self.ended = Some(Err(trouble));
            return;
        }
        (self.stream, self.reader) = (StreamId(self.stream.0 + 2), FrameReader::new());
        self.runs.clear();
        self.connect(now);
    }

    fn handle_told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Answer { result: Ok(Answer::Runs { runs, more }), .. } => {
                let last = self.runs.last().map_or(0, |run| run.number);
                let rises = runs.iter().try_fold(last, |last, run| (run.number > last).then_some(run.number));
                if rises.is_none() || (more && runs.is_empty()) {
                    return self.give_up(now, Trouble::NoTracker);
                }
                self.runs.extend(runs);
                if more && self.runs.len() < RUNS_MAX {
                    self.until = now + ANSWERED_WITHIN;
                    return self.ask();
                }
                self.actions.push_back(StreamAction::Close { stream: self.stream });
                self.ended = Some(Ok(()));
            }
            Told::Answer { result: Ok(_), .. } => self.give_up(now, Trouble::NoTracker),
            Told::Answer { result: Err(refusal), .. } => self.give_up(now, refusal.into()),
            Told::Closing(why) => self.give_up(now, why.into()),
            Told::Notice(_) => {}
        }
    }

    fn is_asking(&self, stream: StreamId) -> bool {
        self.ended.is_none() && self.stream == stream
    }
}

impl StreamMachine for Enquiry {
    fn handle_opened(&mut self, _now: Instant, stream: StreamId, _peer: SocketAddr) {
        if self.is_asking(stream) {
            self.actions.push_back(StreamAction::Write { stream, bytes: vec![stream::VERSION] });
            self.ask();
        }
    }

    fn handle_bytes(&mut self, now: Instant, stream: StreamId, mut bytes: &[u8]) {
        while self.is_asking(stream) {
            let told = match self.reader.next_frame(&mut bytes) {
                Ok(Some(frame)) => stream::decode(&frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match told {
                Ok(told) => self.handle_told(now, told),
                Err(_) => self.give_up(now, Trouble::NoTracker),
            }
        }
    }

    fn handle_closed(&mut self, now: Instant, stream: StreamId) {
        if self.is_asking(stream) {
            self.give_up(now, Trouble::NoConnection);
        }
    }

    fn handle_stream_timeout(&mut self, now: Instant) {
        if self.ended.is_none() && self.until <= now {
            self.give_up(now, Trouble::NoAnswer);
        }
    }

    fn poll_stream(&mut self, _now: Instant) -> Option<StreamAction> {
        self.actions.pop_front()
    }

    fn poll_stream_timeout(&self) -> Option<Wakeup> {
        self.ended.is_none().then_some(Wakeup { at: self.until, reason: "enquiry" })
    }
}

#[cfg(test)]
mod tests {
    use decury_common::base::id::Incarnation;
    use decury_common::wire::figures::Figures;

    use super::*;

    const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7400);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn run(number: u64) -> Run {
        let (user, incarnation) = ("ann".parse().unwrap(), Incarnation(number));
        Run { number, at_us: 0, user, incarnation, figures: Figures::default() }
    }

    fn page(numbers: &[u64], more: bool) -> Vec<u8> {
        let answer = Answer::Runs { runs: numbers.iter().map(|number| run(*number)).collect(), more };
        stream::encode(&Told::Answer { request: 0, result: Ok(answer) })
    }

    fn numbers(enquiry: &Enquiry) -> Vec<u64> {
        enquiry.outcome().unwrap().unwrap().iter().map(|run| run.number).collect()
    }

    /// One whose first tracker is connected and has greeted.
    fn connected() -> Enquiry {
        let mut enquiry = Enquiry::new(at(0), [HERE]);
        enquiry.handle_opened(at(0), StreamId(0), HERE);
        enquiry.handle_bytes(at(0), StreamId(0), &[stream::VERSION]);
        enquiry
    }

    #[test]
    fn an_answer_in_parts_is_asked_for_part_by_part() {
        let mut enquiry = connected();
        enquiry.handle_bytes(at(10), StreamId(0), &page(&[3, 5], true));
        assert_eq!(enquiry.outcome(), None);
        let asked = std::iter::from_fn(|| enquiry.poll_stream(at(10))).last();
        let after = stream::encode(&Asked { request: 0, body: Request::Runs { after: Some(5) } });
        assert_eq!(asked, Some(StreamAction::Write { stream: StreamId(0), bytes: after }));
        enquiry.handle_bytes(at(20), StreamId(0), &page(&[6], false));
        assert_eq!(numbers(&enquiry), [3, 5, 6]);
        assert_eq!(enquiry.poll_stream_timeout(), None);
    }

    #[test]
    fn each_tracker_is_asked_in_turn_and_the_last_ones_trouble_is_told() {
        let mut enquiry = Enquiry::new(at(0), [HERE, HERE]);
        enquiry.handle_closed(at(1), StreamId(0));
        enquiry.handle_closed(at(1), StreamId(0));
        assert_eq!(enquiry.outcome(), None);
        let mut opened = Vec::new();
        while let Some(action) = enquiry.poll_stream(at(1)) {
            if let StreamAction::Open { stream, .. } = action {
                opened.push(stream.0);
            }
        }
        assert_eq!(opened, [0, 2]);
        let end = enquiry.poll_stream_timeout().unwrap().at;
        assert!(end <= at(0) + ANSWERED_WITHIN, "{end}");
        enquiry.handle_stream_timeout(end);
        assert_eq!(enquiry.outcome(), Some(Err(Trouble::NoAnswer)));
        assert_eq!(Enquiry::new(at(0), []).outcome(), Some(Err(Trouble::NoConnection)));
    }

    #[test]
    fn nonsense_ends_the_enquiry() {
        for nonsense in [page(&[2, 2], false), page(&[], true), b"\x05\x00HTTP/".to_vec(), vec![0, 0]] {
            let mut enquiry = connected();
            enquiry.handle_bytes(at(1), StreamId(0), &nonsense);
            assert_eq!(enquiry.outcome(), Some(Err(Trouble::NoTracker)), "{nonsense:?}");
        }
        let mut enquiry = Enquiry::new(at(0), [HERE]);
        enquiry.handle_opened(at(0), StreamId(0), HERE);
        enquiry.handle_bytes(at(0), StreamId(0), b"HTTP/1.1 400 Bad Request");
        assert_eq!(enquiry.outcome(), Some(Err(Trouble::NoTracker)));
    }

    #[test]
    fn a_tracker_that_never_stops_is_not_listened_to_for_ever() {
        let mut enquiry = connected();
        let mut next = 1;
        while enquiry.outcome().is_none() {
            let numbers: Vec<u64> = (next..next + 100).collect();
            enquiry.handle_bytes(at(1), StreamId(0), &page(&numbers, true));
            next += 100;
        }
        assert_eq!(numbers(&enquiry).len(), RUNS_MAX);
    }
}
