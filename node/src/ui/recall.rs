//! The lines that a person typed, kept in a file for the next start. Losing it is no reason to fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::session::sanitise;

/// Lines that are kept.
pub const LINES_MAX: usize = 1_000;
/// Bytes of a line that is kept.
const LINE_MAX: usize = 4 * 1024;
/// Bytes of the file that are read: its end.
const READ_MAX: u64 = 512 * 1024;

/// The file, and how it fares.
#[derive(Debug)]
pub struct Recall {
    path: PathBuf,
    /// Lines are added to it; nothing if that has failed.
    file: Option<File>,
}

impl Recall {
    /// Opens the file, or makes one that its owner alone can read; and its lines, the oldest first. One that has grown
    /// is cut.
    pub fn open(path: PathBuf) -> (Recall, Vec<String>) {
        let mut recall = Recall { path, file: None };
        let lines = recall.try_open().unwrap_or_else(|error| {
            recall.give_up(&error);
            Vec::new()
        });
        (recall, lines)
    }

    /// No file: nothing is kept.
    pub fn nowhere() -> (Recall, Vec<String>) {
        (Recall { path: PathBuf::new(), file: None }, Vec::new())
    }

    /// Keeps a line.
    pub fn add(&mut self, line: &str) {
        if line.len() > LINE_MAX || line.contains('\n') {
            return;
        }
        // In one call: a line is kept whole, or not at all.
        let written = self.file.as_mut().map(|file| file.write_all(format!("{line}\n").as_bytes()));
        if let Some(Err(error)) = written {
            self.give_up(&error);
        }
    }

    fn try_open(&mut self) -> io::Result<Vec<String>> {
        match self.path.metadata() {
            Ok(found) if !found.is_file() => return Err(io::Error::other("it is no file")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = open_for(&self.path, OpenOptions::new().read(true).append(true))?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(READ_MAX);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&file).take(READ_MAX).read_to_end(&mut bytes)?;
        let mut lines = lines(&bytes, from > 0);
        let surplus = lines.len().saturating_sub(LINES_MAX);
        if from > 0 || surplus > LINES_MAX {
            file = self.rewritten(&lines[surplus..])?;
        }
        lines.drain(..surplus);
        self.file = Some(file);
        Ok(lines)
    }

    /// Replaced as a whole, so that a crash leaves one or the other.
    fn rewritten(&self, lines: &[String]) -> io::Result<File> {
        let new = self.path.with_extension("new");
        let mut file = open_for(&new, OpenOptions::new().write(true).truncate(true))?;
        file.write_all(lines.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())?;
        fs::rename(&new, &self.path)?;
        open_for(&self.path, OpenOptions::new().append(true))
    }

    fn give_up(&mut self, error: &io::Error) {
        log::warn!("what is typed is not kept in {}: {error}", self.path.display());
        self.file = None;
    }
}

fn open_for(path: &std::path::Path, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(0o600).open(path)
}

/// The lines of the file's end, of which the first may have lost its beginning. It may be anybody's, so what is no
/// text is left out, and the rest is made harmless.
fn lines(bytes: &[u8], is_cut: bool) -> Vec<String> {
    let lines = bytes.split(|&byte| byte == b'\n').skip(usize::from(is_cut));
    let lines = lines.filter(|line| !line.is_empty() && line.len() <= LINE_MAX);
    lines.filter_map(|line| Some(sanitise(std::str::from_utf8(line).ok()?).into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A path in a directory of its own, deleted with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("decury-recall-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("input-history")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn what_was_typed_is_there_again_for_its_owner_alone() {
        let scratch = Scratch::new("again");
        let (mut recall, lines) = Recall::open(scratch.file());
        assert_eq!(lines, [""; 0]);
        recall.add("one");
        recall.add("grüße");
        recall.add(&"x".repeat(LINE_MAX + 1));
        recall.add("two\nlines");
        assert_eq!(scratch.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (mut recall, lines) = Recall::open(scratch.file());
        assert_eq!(lines, ["one", "grüße"]);
        recall.add("three");
        assert_eq!(Recall::open(scratch.file()).1, ["one", "grüße", "three"]);
    }

    #[test]
    fn a_file_that_has_grown_is_cut_to_its_last_lines() {
        let scratch = Scratch::new("grown");
        for lines in [2 * LINES_MAX + 1, 100_000] {
            let text: String = (1..=lines).map(|number| format!("line {number}\n")).collect();
            fs::write(scratch.file(), text).unwrap();
            let (mut recall, kept) = Recall::open(scratch.file());
            assert_eq!((kept.len(), kept.last().unwrap()), (LINES_MAX, &format!("line {lines}")));
            recall.add("more");
            assert!(scratch.file().metadata().unwrap().len() < 20_000);
            assert_eq!(Recall::open(scratch.file()).1.last().unwrap(), "more");
        }
    }

    #[test]
    fn whatever_the_file_is_it_does_no_harm() {
        let scratch = Scratch::new("hostile");
        fs::write(scratch.file(), b"\xff\xfe\nfine\n\x1b[2J\nunfinished").unwrap();
        assert_eq!(Recall::open(scratch.file()).1, ["fine", "\u{fffd}[2J", "unfinished"]);
        File::create(scratch.file()).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(Recall::open(scratch.file()).1, [""; 0]);
        fs::remove_file(scratch.file()).unwrap();
        fs::create_dir(scratch.file()).unwrap();
        let (mut recall, lines) = Recall::open(scratch.file());
        recall.add("nowhere");
        assert_eq!(lines, [""; 0]);
    }
}
