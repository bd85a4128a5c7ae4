//! Text that somebody else wrote.
//!
//! A control character can move the cursor or forge a line, a bidirectional override can make a sentence read as
//! another one. Both become U+FFFD once, here, on the way in: nothing that shows text has to think of it again.

use std::borrow::Cow;

use bytes::Bytes;

/// A message's text as it came from the network. Its bytes are out of reach on purpose: the only way to read it is
/// [`Text::safe`]. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Bytes);

impl Text {
    /// The text in these bytes, whatever they are.
    pub fn new(bytes: Bytes) -> Text {
        Text(bytes)
    }

    /// The text, fit to be shown: what is not UTF-8 and what is unsafe reads U+FFFD. Borrowed when it was fine.
    pub fn safe(&self) -> Cow<'_, str> {
        match String::from_utf8_lossy(&self.0) {
            Cow::Borrowed(text) => sanitise(text),
            Cow::Owned(text) => Cow::Owned(sanitise(&text).into_owned()),
        }
    }
}

/// `text` with every unsafe character replaced by U+FFFD; a tab stays.
pub fn sanitise(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| matches!(b, b' '..=b'~' | b'\t');
    if text.bytes().all(plain) || !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// Control characters, line and paragraph separators, bidirectional embeddings, overrides and isolates.
fn is_unsafe(c: char) -> bool {
    let separator_or_bidi = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    separator_or_bidi || (c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_become_visible_and_harmless() {
        for (typed, shown) in [
            ("plain", "plain"),
            ("a\tb", "a\tb"),
            ("a\u{1b}[2Jb", "a\u{fffd}[2Jb"),
            ("a\rb\nc\u{7f}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("\u{85}\u{9b}", "\u{fffd}\u{fffd}"),
            ("abc\u{202e}cba", "abc\u{fffd}cba"),
            ("\u{2066}x\u{2069}\u{2028}", "\u{fffd}x\u{fffd}\u{fffd}"),
            ("grüße 👨‍👩‍👧 שלום", "grüße 👨‍👩‍👧 שלום"),
        ] {
            assert_eq!(sanitise(typed), shown);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let shown = |bytes: &'static [u8]| Text::new(Bytes::from_static(bytes)).safe().into_owned();
        assert_eq!(shown(b"fine"), "fine");
        assert_eq!(shown(b"a\xff\x1bb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn text_that_is_fine_is_not_copied() {
        let text = Text::new(Bytes::from_static("grüße".as_bytes()));
        assert!(matches!(text.safe(), Cow::Borrowed(_)));
    }
}
