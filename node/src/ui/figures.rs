//! Figures in words: a table that fits forty columns, and a last line.

use std::fmt::Write as _;

use decury_common::wire::figures::{Figures, Tally};

/// Columns of the narrowest terminal that is thought of.
const WIDTH: usize = 40;

/// A block for the whole, for each group and for private messages, if anything was said there.
pub(super) fn table(figures: &Figures) -> String {
    let mut text = block("in all", &figures.all);
    let groups = figures.groups.iter().map(|(name, tally)| (format!("#{name}"), tally));
    let private = std::iter::once(("in private".to_owned(), &figures.private));
    for (name, tally) in groups.chain(private).filter(|(_, tally)| tally.total() > 0) {
        text.push('\n');
        text.push_str(&block(&name, tally));
    }
    text
}

/// What a run came to, in one line.
pub(super) fn farewell(figures: &Figures) -> String {
    let Tally { sent, received, retransmitted, latency, .. } = &figures.all;
    let mut text = format!("bye: {sent} sent, {received} received");
    // Writing into a string does not fail.
    if *retransmitted > 0 {
        _ = write!(text, ", {retransmitted} sent again");
    }
    if let Some(latency) = latency {
        let [p50, p99, error] = [latency.p50_us, latency.p99_us, latency.clock_error_us].map(millis);
        _ = write!(text, "; latency p50 {p50} ms, p99 {p99} ms (clocks +-{error} ms)");
    }
    text
}

fn block(name: &str, tally: &Tally) -> String {
    let latency = |of: Option<u64>| of.map_or_else(|| "-".to_owned(), millis);
    let Tally { sent, received, retransmitted, latency: measured, .. } = tally;
    let rows = [
        [("sent", count(*sent)), ("received", count(*received))],
        [("total", count(tally.total())), ("sent again", count(*retransmitted))],
        [
            ("per second", rate(tally.messages_per_s())),
            ("clocks +-ms", latency(measured.map(|m| m.clock_error_us))),
        ],
        [("p50 ms", latency(measured.map(|m| m.p50_us))), ("p99 ms", latency(measured.map(|m| m.p99_us)))],
    ];
    let mut text: String = name.chars().take(WIDTH).collect();
    for [(left, a), (right, b)] in rows {
        _ = write!(text, "\n  {left:<11}{a:>7}  {right:<11}{b:>7}");
    }
    text
}

/// At most seven characters, up to ten billion.
fn count(count: u64) -> String {
    match count {
        0..10_000_000 => count.to_string(),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

fn rate(rate: f64) -> String {
    if rate < 1_000.0 { format!("{rate:.1}") } else { count(rate.round() as u64) }
}

/// Milliseconds, at most seven characters up to an hour and beyond.
fn millis(micros: u64) -> String {
    let millis = micros as f64 / 1_000.0;
    match micros {
        0..1_000_000 => format!("{millis:.2}"),
        1_000_000..99_000_000 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use decury_common::wire::figures::Percentiles;

    use super::*;

    fn figures() -> Figures {
        let latency = Some(Percentiles { p50_us: 310, p99_us: 1_250, clock_error_us: 40 });
        let all = Tally { sent: 12, received: 25, spanned_us: 7_500_000, retransmitted: 2, latency };
        let quiet = Tally { latency: None, spanned_us: 0, received: 0, ..all };
        let groups = [("lobby".parse().unwrap(), quiet), ("silent".parse().unwrap(), Tally::default())];
        Figures { all, groups: groups.into_iter().collect(), ..Figures::default() }
    }

    #[test]
    fn the_table_has_a_block_for_the_whole_and_for_whatever_was_said_where() {
        assert_eq!(
            table(&figures()),
            "in all\n  \
             sent            12  received        25\n  \
             total           37  sent again       2\n  \
             per second     3.2  clocks +-ms   0.04\n  \
             p50 ms        0.31  p99 ms        1.25\n\
             #lobby\n  \
             sent            12  received         0\n  \
             total           12  sent again       2\n  \
             per second     0.0  clocks +-ms      -\n  \
             p50 ms           -  p99 ms           -"
        );
    }

    #[test]
    fn the_table_fits_forty_columns_whatever_was_said() {
        let latency =
            Some(Percentiles { p50_us: 999_999, p99_us: 3_600_000_000, clock_error_us: 98_999_999 });
        let most = 4_999_949_999;
        let tally =
            Tally { sent: most, received: most, spanned_us: 1_000_000_000, retransmitted: most, latency };
        let name = "x".repeat(50).parse().unwrap();
        let groups = std::iter::once((name, tally)).collect();
        let table = table(&Figures { private: Tally { sent: 1, ..tally }, groups, ..Figures::default() });
        assert_eq!(table.lines().count(), 15);
        for line in table.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn the_last_line_says_what_there_is_to_say() {
        assert_eq!(farewell(&Figures::default()), "bye: 0 sent, 0 received");
        assert_eq!(
            farewell(&figures()),
            "bye: 12 sent, 25 received, 2 sent again; latency p50 0.31 ms, p99 1.25 ms (clocks +-0.04 ms)"
        );
    }
}
