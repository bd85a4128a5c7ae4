//! One rule of the lab, as people write it: `from=ann,delay=5s,loss=0.1`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use decury_common::base::duration::parse_duration;
use decury_common::base::id::UserName;
use decury_common::fault::{Fault, Ratio};
use thiserror::Error;

/// A copy follows its original within this time.
const COPY_WITHIN: Duration = Duration::from_millis(10);
/// The denominator of fractions: they have up to six digits.
const MILLION: u32 = 1_000_000;

/// Why a text is no rule of the lab.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadSpec {
    /// A part that there is not.
    #[error(
        "{0:?} is no part of a fault: it is made of from=NAME|ADDR, delay=, jitter=, loss=, dup=, cut, as in from=ann,delay=5s"
    )]
    Part(String),
    /// A part that stands there twice.
    #[error("a fault names {0} once; several faults add up")]
    Twice(&'static str),
    /// Neither a name nor an address.
    #[error("from= takes a name, or an IP address, with :PORT if need be")]
    From,
    /// Not a duration.
    #[error("{0}= takes a number and a unit: us, ms or s, as in 500ms or 1.5s, at most a day")]
    Duration(&'static str),
    /// Not a fraction.
    #[error("{0}= takes a fraction from 0 to 1, as in 0.1, with at most six digits behind the point")]
    Fraction(&'static str),
    /// It changes nothing.
    #[error("this fault changes nothing: name delay=, jitter=, loss=, dup= or cut")]
    Nothing,
}

/// Whose datagrams a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This person's.
    Person(UserName),
    /// All from this machine.
    Host(IpAddr),
    /// All from this socket.
    Address(SocketAddr),
}

/// A rule of the lab: what happens to datagrams that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// From whom; from everybody when missing.
    from: Option<Source>,
    cut: bool,
    loss: Fraction,
    delay: Duration,
    jitter: Duration,
    dup: Fraction,
}

/// So many of a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fraction(u32);

impl Spec {
    /// Whose datagrams it is about; everybody's when missing.
    pub fn from(&self) -> Option<Source> {
        self.from
    }

    /// What happens to them, but for duplication: copies are made of what all rules have delayed.
    pub fn faults(&self) -> impl Iterator<Item = Fault> + use<> {
        let Spec { cut, loss, delay, jitter, .. } = *self;
        let cut = cut.then_some(Fault::Cut);
        let delayed = !(delay + jitter).is_zero();
        let delay = delayed.then_some(Fault::Delay(delay, delay + jitter));
        [cut, loss.of(Fault::Loss), delay].into_iter().flatten()
    }

    /// Whether some come twice.
    pub fn duplication(&self) -> Option<Fault> {
        self.dup.of(|ratio| Fault::Duplicate(ratio, COPY_WITHIN))
    }

    /// What it does, in words.
    pub fn words(&self) -> String {
        let source = self.from.map_or_else(|| "anybody".to_owned(), |source| source.to_string());
        let mut parts = Vec::new();
        match (self.delay.is_zero(), self.jitter.is_zero()) {
            (true, true) => {}
            (false, true) => parts.push(format!("{} later", Short(self.delay))),
            (true, false) => parts.push(format!("up to {} later", Short(self.jitter))),
            (false, false) => {
                parts.push(format!("{} to {} later", Short(self.delay), Short(self.delay + self.jitter)));
            }
        }
        for (fraction, what) in [(self.loss, "lost"), (self.dup, "twice")] {
            if fraction.0 > 0 {
                parts.push(format!("{}% {what}", f64::from(fraction.0) / 10_000.0));
            }
        }
        if self.cut {
            parts = vec!["nothing arrives".to_owned()];
        }
        format!("from {source}: {}", parts.join(", "))
    }
}

impl FromStr for Spec {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Spec, BadSpec> {
        let mut seen: Vec<&'static str> = Vec::new();
        let zero = Duration::ZERO;
        let (loss, dup) = (Fraction::default(), Fraction::default());
        let mut spec = Spec { from: None, cut: false, loss, delay: zero, jitter: zero, dup };
        for part in text.split(',') {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (part, None),
            };
            let name = match (key, value) {
                ("from", Some(value)) => {
                    spec.from = Some(value.parse()?);
                    "from"
                }
                ("delay", Some(value)) => {
                    spec.delay = duration("delay", value)?;
                    "delay"
                }
                ("jitter", Some(value)) => {
                    spec.jitter = duration("jitter", value)?;
                    "jitter"
                }
                ("loss", Some(value)) => {
                    spec.loss = Fraction::parse(value).ok_or(BadSpec::Fraction("loss"))?;
                    "loss"
                }
                ("dup", Some(value)) => {
                    spec.dup = Fraction::parse(value).ok_or(BadSpec::Fraction("dup"))?;
                    "dup"
                }
                ("cut", None) => {
                    spec.cut = true;
                    "cut"
                }
                _ => return Err(BadSpec::Part(part.chars().take(24).collect())),
            };
            if seen.contains(&name) {
                return Err(BadSpec::Twice(name));
            }
            seen.push(name);
        }
        let changes = spec.faults().next().is_some() || spec.duplication().is_some();
        changes.then_some(spec).ok_or(BadSpec::Nothing)
    }
}

/// In whole microseconds, which is what clocks here count in.
fn duration(part: &'static str, text: &str) -> Result<Duration, BadSpec> {
    let duration = parse_duration(text).map_err(|_| BadSpec::Duration(part))?;
    Ok(Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
}

impl FromStr for Source {
    type Err = BadSpec;

    /// What looks like an address is one, though it might be a name.
    fn from_str(text: &str) -> Result<Source, BadSpec> {
        let address = text.parse().map(Source::Address);
        let host = address.or_else(|_| text.parse().map(Source::Host));
        host.or_else(|_| text.parse().map(Source::Person)).map_err(|_| BadSpec::From)
    }
}

impl Fraction {
    fn parse(text: &str) -> Option<Fraction> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if text.is_empty() || text == "." || !digits(whole) || !digits(rest) || rest.len() > 6 {
            return None;
        }
        let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let rest: u32 = format!("{rest:0<6}").parse().ok()?;
        let millionths = whole.checked_mul(MILLION)?.checked_add(rest)?;
        (millionths <= MILLION).then_some(Fraction(millionths))
    }

    fn of(self, fault: impl Fn(Ratio) -> Fault) -> Option<Fault> {
        (self.0 > 0).then(|| fault(Ratio(self.0, MILLION)))
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / f64::from(MILLION))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Person(name) => name.fmt(f),
            Source::Host(ip) => ip.fmt(f),
            Source::Address(address) => address.fmt(f),
        }
    }
}

/// A duration in the largest unit that says it in whole numbers.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            us if us % 1_000_000 == 0 => write!(f, "{}s", us / 1_000_000),
            us if us % 1_000 == 0 => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}

/// As it may be typed.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.from.map(|source| format!("from={source}")));
        for (name, duration) in [("delay", self.delay), ("jitter", self.jitter)] {
            if !duration.is_zero() {
                parts.push(format!("{name}={}", Short(duration)));
            }
        }
        for (name, fraction) in [("loss", self.loss), ("dup", self.dup)] {
            if fraction.0 > 0 {
                parts.push(format!("{name}={fraction}"));
            }
        }
        if self.cut {
            parts.push("cut".to_owned());
        }
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_is_shown_as_it_may_be_typed() {
        for (typed, shown) in [
            ("from=ann,delay=5s", "from=ann,delay=5s"),
            ("loss=.1", "loss=0.1"),
            ("loss=1.000", "loss=1"),
            ("dup=0.000001,jitter=1.5s", "jitter=1500ms,dup=0.000001"),
            ("cut,from=10.0.0.7", "from=10.0.0.7,cut"),
            ("from=10.0.0.7:80,delay=200us", "from=10.0.0.7:80,delay=200us"),
            ("from=[::1]:80,delay=1000ms", "from=[::1]:80,delay=1s"),
            ("from=::1,jitter=2ms,delay=0s", "from=::1,jitter=2ms"),
        ] {
            assert_eq!(spec(typed).to_string(), shown, "{typed}");
            assert_eq!(spec(shown), spec(typed), "{shown}");
        }
    }

    #[test]
    fn what_looks_like_an_address_is_one() {
        let from = |text| spec(&format!("from={text},cut")).from().unwrap();
        assert_eq!(from("ann"), Source::Person("ann".parse().unwrap()));
        assert_eq!(from("1.2.3"), Source::Person("1.2.3".parse().unwrap()));
        assert_eq!(from("1.2.3.4"), Source::Host("1.2.3.4".parse().unwrap()));
        assert_eq!(from("1.2.3.4:5"), Source::Address("1.2.3.4:5".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_in_one_line() {
        for (text, words) in [
            ("", "made of from="),
            ("late=5s", "\"late=5s\" is no part"),
            ("delay", "\"delay\" is no part"),
            ("cut=1", "no part"),
            ("from=ann, delay=5s", "no part"),
            ("loss=0.1,", "no part"),
            ("delay=5", "delay= takes a number and a unit"),
            ("jitter=-1s", "jitter= takes"),
            ("delay=90000s", "a day"),
            ("loss=10%", "loss= takes a fraction"),
            ("loss=1.1", "fraction from 0 to 1"),
            ("loss=", "fraction"),
            ("dup=.", "fraction"),
            ("dup=4294967296", "fraction"),
            ("dup=0.0000001", "six digits"),
            ("from=a b,cut", "a name, or an IP address"),
            ("from=ann", "changes nothing"),
            ("delay=0s,loss=0", "changes nothing"),
            ("delay=1s,delay=2s", "delay once"),
            ("cut,cut", "cut once"),
        ] {
            let error = text.parse::<Spec>().unwrap_err().to_string();
            assert!(error.contains(words) && error.lines().count() == 1, "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_reads_well() {
        for (text, words) in [
            ("from=ann,delay=5s", "from ann: 5s later"),
            ("delay=10ms,jitter=5ms,loss=0.1", "from anybody: 10ms to 15ms later, 10% lost"),
            ("from=10.0.0.7,jitter=1s,dup=0.005", "from 10.0.0.7: up to 1s later, 0.5% twice"),
            ("from=bob,cut,loss=1", "from bob: nothing arrives"),
        ] {
            assert_eq!(spec(text).words(), words);
        }
    }
}
