//! What a member has delivered, checked with every message, and compared with the others at the end: nothing is
//! missing, doubled, changed or out of order.

use std::time::{Duration, Instant};

use decury_common::base::limits::MEMBERS_MAX;
use hdrhistogram::Histogram;

use super::event::Counts;
use super::options::{Order, Run};
use super::workload::Stamps;

/// Latencies are kept to three digits.
const DIGITS: u8 = 3;

/// A message, as a member delivers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) from: usize,
    /// The sender's count.
    pub(crate) seq: u64,
    /// The number in its text, if that is as it was sent.
    pub(crate) number: Option<u64>,
    /// Of causal, total and safe order.
    pub(crate) clock: Counts,
    /// Of total and safe order.
    pub(crate) position: Option<u64>,
}

/// All that one member has delivered.
#[derive(Debug)]
pub(crate) struct Heard {
    me: usize,
    order: Order,
    counts: Counts,
    /// Senders, one a message. As each one's messages have come in sequence, this says which they were.
    sequence: Vec<u8>,
    first: Option<Instant>,
    last: Option<Instant>,
    /// In nanoseconds, of others' messages.
    latency: Histogram<u64>,
}

impl Heard {
    pub(crate) fn new(me: usize, run: &Run) -> Result<Heard, String> {
        let latency = Histogram::new(DIGITS).map_err(|error| error.to_string())?;
        let (counts, sequence) = (Counts::default(), Vec::new());
        Ok(Heard { me, order: run.order, counts, sequence, first: None, last: None, latency })
    }

    /// Takes a message in, which was read at that time. The error is what is wrong with it.
    pub(crate) fn hear(&mut self, at: Instant, message: &Message, stamps: &Stamps) -> Result<(), String> {
        self.check(message)?;
        let from = message.from;
        self.counts[from] = message.seq;
        self.sequence.push(from as u8);
        self.first.get_or_insert(at);
        self.last = Some(at);
        if let Some(latency) = stamps.latency(from, message.seq, at).filter(|_| from != self.me) {
            self.latency.record(latency.as_nanos() as u64).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn check(&self, message: &Message) -> Result<(), String> {
        let &Message { from, seq, number, clock, position } = message;
        let before = self.counts[from];
        if seq != before + 1 {
            return Err(format!("message {seq} of m{from} comes after {before}"));
        }
        if number != Some(seq) {
            return Err(format!("message {seq} of m{from} is not as it was sent"));
        }
        if self.order == Order::Fifo {
            return Ok(());
        }
        if clock[from] != seq {
            return Err(format!(
                "message {seq} of m{from} has {} as its own entry in its clock",
                clock[from]
            ));
        }
        let early = (0..MEMBERS_MAX).find(|&other| other != from && clock[other] > self.counts[other]);
        if let Some(other) = early {
            let (needs, has) = (clock[other], self.counts[other]);
            return Err(format!("message {seq} of m{from} needs {needs} of m{other}, but comes after {has}"));
        }
        let expected = self.sequence.len() as u64 + 1;
        if self.order.is_one_sequence() && position != Some(expected) {
            let position = position.map_or("none".to_owned(), |position| position.to_string());
            return Err(format!("message {seq} of m{from} has position {position} in place of {expected}"));
        }
        Ok(())
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.sequence.len() as u64
    }

    /// Deliveries a second, from the first one to the last.
    pub(crate) fn per_second(&self) -> f64 {
        let time = self.first.zip(self.last).map_or(Duration::ZERO, |(first, last)| last - first);
        match self.count() {
            0 | 1 => 0.0,
            count => (count - 1) as f64 / time.as_secs_f64().max(1e-9),
        }
    }
}

/// What is wrong with the whole of a run of which nothing was wrong one by one: each sender has sent so many.
pub(crate) fn compare(heard: &[Heard], sent: &[u64]) -> Result<(), String> {
    for member in heard {
        for (from, (&delivered, &sent)) in member.counts.iter().zip(sent).enumerate() {
            if delivered != sent {
                return Err(format!("m{} has {delivered} of {sent} messages of m{from}", member.me));
            }
        }
    }
    let Some((first, others)) = heard.split_first().filter(|(first, _)| first.order.is_one_sequence()) else {
        return Ok(());
    };
    for other in others {
        let mut pairs = first.sequence.iter().zip(&other.sequence);
        if let Some(at) = pairs.position(|(one, other)| one != other) {
            let (a, b) = (first.sequence[at], other.sequence[at]);
            let (position, me, you) = (at + 1, first.me, other.me);
            return Err(format!("at position {position} m{me} has a message of m{a}, m{you} one of m{b}"));
        }
    }
    Ok(())
}

/// The latencies of all members together.
pub(crate) fn latencies(heard: &[Heard]) -> Result<Histogram<u64>, String> {
    let mut all = Histogram::new(DIGITS).map_err(|error| error.to_string())?;
    for member in heard {
        all.add(&member.latency).map_err(|error| error.to_string())?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::options::{Mode, Senders, Via};
    use super::*;

    fn run(order: Order) -> Run {
        let (members, size, seconds, pace) = (3, 64, 1, 100);
        let (via, senders, mode) = (Via::Json, Senders::All, Mode::Burst);
        Run { via, members, order, size, senders, mode, seconds, pace }
    }

    /// Sender, seq, what the clock says of the others.
    type Short<'a> = (usize, u64, &'a [(usize, u64)]);

    fn hear(order: Order, me: usize, messages: &[Short<'_>]) -> Result<Heard, String> {
        let mut heard = Heard::new(me, &run(order)).unwrap();
        let (now, run) = (Instant::now(), run(order));
        for (index, &(from, seq, deps)) in messages.iter().enumerate() {
            let mut clock = Counts::default();
            clock[from] = seq;
            deps.iter().for_each(|&(member, count)| clock[member] = count);
            let position = Some(index as u64 + 1);
            let message = Message { from, seq, number: Some(seq), clock, position };
            heard.hear(now, &message, &Stamps::new(&run))?;
        }
        Ok(heard)
    }

    #[test]
    fn a_gap_a_repetition_and_a_swap_are_found_at_once() {
        for wrong in [&[1, 3][..], &[1, 1], &[2, 1]] {
            let messages: Vec<_> = wrong.iter().map(|&seq| (0, seq, &[][..])).collect();
            assert!(hear(Order::Fifo, 1, &messages).is_err(), "{wrong:?}");
        }
        assert!(hear(Order::Fifo, 1, &[(0, 1, &[]), (2, 1, &[]), (0, 2, &[])]).is_ok());
    }

    #[test]
    fn an_answer_before_its_question_is_found() {
        let (question, answer) = ((0, 1, &[][..]), (2, 1, &[(0, 1)][..]));
        assert!(hear(Order::Causal, 1, &[question, answer]).is_ok());
        assert!(hear(Order::Causal, 1, &[answer, question]).unwrap_err().contains("needs 1 of m0"));
        assert!(hear(Order::Fifo, 1, &[answer, question]).is_ok());
    }

    #[test]
    fn a_changed_text_a_wrong_clock_and_a_wrong_position_are_found() {
        let now = Instant::now();
        let stamps = Stamps::new(&run(Order::Total));
        let mut clock = Counts::default();
        clock[0] = 1;
        let good = Message { from: 0, seq: 1, number: Some(1), clock, position: Some(1) };
        let hear = |message| Heard::new(1, &run(Order::Total)).unwrap().hear(now, &message, &stamps);
        assert!(hear(good).is_ok());
        assert!(hear(Message { number: None, ..good }).is_err());
        assert!(hear(Message { clock: Counts::default(), ..good }).is_err());
        assert!(hear(Message { position: Some(2), ..good }).is_err());
        assert!(hear(Message { position: None, ..good }).is_err());
    }

    #[test]
    fn what_is_missing_at_the_end_is_found() {
        let heard = [hear(Order::Fifo, 0, &[(0, 1, &[])]).unwrap()];
        assert!(compare(&heard, &[1, 0, 0]).is_ok());
        assert_eq!(compare(&heard, &[1, 2, 0]).unwrap_err(), "m0 has 0 of 2 messages of m1");
    }

    #[test]
    fn two_sequences_are_found() {
        let both = |order| {
            let one = hear(order, 0, &[(0, 1, &[]), (1, 1, &[])]).unwrap();
            let other = hear(order, 1, &[(1, 1, &[]), (0, 1, &[])]).unwrap();
            compare(&[one, other], &[1, 1])
        };
        assert!(both(Order::Causal).is_ok());
        assert_eq!(both(Order::Total).unwrap_err(), "at position 1 m0 has a message of m0, m1 one of m1");
    }
}
