//! A colour for each person, the same everywhere and always.

use decury_common::base::id::UserName;

/// Those of the sixteen that can be read on black and on white, as the digits of their escape sequences. Red is left
/// for what is wrong.
const COLOURS: [u8; 8] = [32, 33, 34, 35, 36, 92, 94, 95];

/// The name in its colour, which ends with it.
pub(super) fn of(name: UserName) -> String {
    format!("\x1b[{}m{name}\x1b[0m", COLOURS[usize::from(hash(name.as_str())) % COLOURS.len()])
}

/// FNV-1a, folded.
fn hash(text: &str) -> u8 {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) as u8 ^ hash as u8
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_person_keeps_a_colour_and_people_differ() {
        let colour = |name: &str| of(name.parse().unwrap()).replace(name, "");
        assert_eq!(colour("ann"), colour("ann"));
        let names = ["ann", "bob", "cid", "dan", "eva", "fay", "gus", "hal"];
        assert!(names.map(colour).into_iter().collect::<BTreeSet<_>>().len() >= 4);
        assert!(of("ann".parse().unwrap()).ends_with("mann\x1b[0m"));
    }
}
