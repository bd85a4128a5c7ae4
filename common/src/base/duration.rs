//! Durations as people type them: `200us`, `500ms`, `2s`, `1.5s`.

use std::time::Duration;

use thiserror::Error;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a duration is a number and a unit: us, ms or s, as in 500ms or 1.5s")]
pub struct BadDuration;

/// The longest duration that is taken: a day. Sums of a few are then far from any overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a duration of at most a day.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or(BadDuration)?;
    let (number, unit) = text.split_at(unit_at);
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let number: f64 = number.parse().ok().filter(|_| number.chars().all(digits)).ok_or(BadDuration)?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        _ => return Err(BadDuration),
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= LONGEST).ok_or(BadDuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_make_a_duration() {
        for (text, micros) in
            [("200us", 200), ("500ms", 500_000), ("2s", 2_000_000), ("1.5s", 1_500_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for bad in ["", "2", "s", "-1s", "+1s", "2 s", "2m", "1e3s", "nans", "infs", "1..2s", "90000s", "2sé"]
        {
            assert_eq!(parse_duration(bad), Err(BadDuration), "{bad}");
        }
    }
}
