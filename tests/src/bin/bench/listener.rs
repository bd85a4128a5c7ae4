//! One node's output, read as it comes: what it says of its group, and every message.

use std::io::{BufRead as _, BufReader, Read};
use std::time::Instant;

use super::checks::Message;
use super::event::Line;
use super::witness::{Bye, Witness};
use super::workload::read_text;

/// Read from a pipe at once.
const BUFFER: usize = 64 * 1024;

/// Reads until the end, or until something is wrong.
pub(crate) fn listen(mut witness: Witness<'_>, output: impl Read) {
    let result = read(&mut witness, output);
    witness.end(result);
}

fn read(witness: &mut Witness<'_>, output: impl Read) -> Result<Bye, String> {
    let mut output = BufReader::with_capacity(BUFFER, output);
    let (mut bytes, mut bye) = (Vec::new(), None);
    while output.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
        let at = Instant::now();
        let parsed = serde_json::from_slice::<Line<'_>>(&bytes);
        let line = parsed.map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&bytes)))?;
        match &*line.event {
            "message" => witness.message(at, &message(witness, &line)?)?,
            "joined" | "view" => witness.view(line.members.len())?,
            "error" => return Err(line.text.into_owned()),
            "bye" => {
                let Line { sent, received, datagrams, retransmitted, .. } = line;
                bye = Some(Bye { sent, received, datagrams, retransmitted });
            }
            _ => {}
        }
        bytes.clear();
    }
    bye.ok_or_else(|| "it has ended without a last word".to_owned())
}

fn message(witness: &Witness<'_>, line: &Line<'_>) -> Result<Message, String> {
    let from = line.from.map(|from| from.0).filter(|&from| from < witness.run.members && !line.caught_up);
    let from = from.ok_or_else(|| format!("a message that nobody has sent in this run: {line:?}"))?;
    let number = read_text(line.text.as_bytes(), witness.run.size);
    Ok(Message { from, seq: line.seq, number, clock: line.clock.0, position: line.position })
}
