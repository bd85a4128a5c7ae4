//! Times as a person reads them, in the person's own time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time in microseconds since 1970, to the second. One that is beyond all calendars is shown as it is.
pub(crate) fn shown(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    match time {
        Some(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => at.to_string(),
    }
}
