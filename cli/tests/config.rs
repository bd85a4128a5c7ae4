//! A configuration file beneath a command line.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests, the helpers too")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::builder::FalseyValueParser;

/// Options of every shape that the programs have.
#[derive(Debug, PartialEq, clap::Parser)]
#[command(name = "probe", version)]
struct Probe {
    #[arg(long, env = "DECURY_CLI_TEST_NAME")]
    name: Option<String>,
    #[arg(long, value_delimiter = ',', default_value = "here:1")]
    tracker: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    join: Vec<String>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "home")]
    host: Option<String>,
    #[arg(long, default_value = "2s", value_parser = seconds)]
    suspect_after: Duration,
    #[arg(long, value_parser = FalseyValueParser::new())]
    stay: bool,
    #[arg(long, env = "DECURY_CLI_TEST_ALONE", conflicts_with_all = ["tracker", "host"],
        value_parser = FalseyValueParser::new())]
    alone: bool,
    #[arg(long)]
    port: Option<u16>,
    #[arg(long)]
    config: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').and_then(|number| number.parse().ok());
    number.map(Duration::from_secs).ok_or_else(|| "it is a number and s".to_owned())
}

/// A directory that is deleted with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("decury-cli-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join("probe.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn parse(arguments: &[&str], default: Option<&Path>) -> Result<Probe, String> {
    let arguments = std::iter::once(&"probe").chain(arguments).map(OsString::from).collect();
    decury_cli::parse_from(arguments, default.map(Path::to_owned)).map_err(|error| {
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    })
}

/// What is said about a file with this text: one line that names it.
fn refusal(text: impl AsRef<[u8]>) -> String {
    let scratch = Scratch::new();
    let path = scratch.file(text);
    let error = parse(&[], Some(&path)).unwrap_err();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    error.replace(path.to_str().unwrap(), "FILE")
}

#[test]
fn a_file_sets_options_of_every_shape() {
    let scratch = Scratch::new();
    let path = scratch.file(
        "# mine\nname = 'ann'\ntracker = ['a:1', 'b:2,c:3']\njoin = 'x,y:total'\nhost = true\n\
         suspect-after = \"3s\"\nstay = true\nport = 7400\n",
    );
    let probe = parse(&[], Some(&path)).unwrap();
    assert_eq!(probe.name.as_deref(), Some("ann"));
    assert_eq!(probe.tracker, ["a:1", "b:2", "c:3"]);
    assert_eq!(probe.join, ["x", "y:total"]);
    assert_eq!(probe.host.as_deref(), Some("home"));
    assert_eq!((probe.suspect_after, probe.stay, probe.port), (Duration::from_secs(3), true, Some(7400)));
    let path = scratch.file("host = 'elsewhere'\nstay = false\njoin = []\n");
    let probe = parse(&[], Some(&path)).unwrap();
    assert_eq!((probe.host.as_deref(), probe.stay, probe.join), (Some("elsewhere"), false, vec![]));
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_defaults() {
    let scratch = Scratch::new();
    let path = scratch.file("tracker = ['a:1', 'b:2']\nsuspect-after = '3s'\nport = 1\n");
    let probe = parse(&["--tracker", "c:3", "--port", "2"], Some(&path)).unwrap();
    assert_eq!((probe.tracker, probe.port), (vec!["c:3".to_owned()], Some(2)));
    assert_eq!(probe.suspect_after, Duration::from_secs(3));
}

#[test]
fn the_default_file_may_be_missing_and_a_named_one_may_not() {
    let scratch = Scratch::new();
    let missing = scratch.0.join("none.toml");
    let nothing = parse(&[], None).unwrap();
    assert_eq!(parse(&[], Some(&missing)).unwrap(), nothing);
    assert_eq!(parse(&[], Some(&missing.join("deeper"))).unwrap(), nothing);
    let error = parse(&["--config", missing.to_str().unwrap()], None).unwrap_err();
    assert!(error.contains("none.toml cannot be read: No such file"), "{error}");
    let path = scratch.file("port = 9");
    let arguments = ["--config", path.to_str().unwrap()];
    assert_eq!(parse(&arguments, Some(&missing)).unwrap().port, Some(9));
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_was_expected() {
    for (text, words) in [
        ("\nnmae = 'ann'", "FILE:2: there is no option nmae; did you mean name?"),
        ("suspect_after = '2s'", "FILE:1: there is no option suspect_after; did you mean suspect-after?"),
        ("[node]\nname = 'ann'", "FILE:1: a value is a text in quotes"),
        ("'\\u001b' = 1", "FILE:1: there is no option"),
        ("\"\\u001b[2J\" = 1", "FILE:1: there is no option \u{fffd}[2J; the names are those of --help"),
        ("port = 1\n\nsuspect-after = 'soon'", "FILE:3: invalid value 'soon' for '--suspect-after"),
        ("suspect-after = 'soon'", "it is a number and s"),
        ("port = [1, 2]", "FILE:1: the argument '--port <PORT>' cannot be used multiple times"),
        ("port = 70000", "70000 is not in 0..=65535"),
        ("port = true", "FILE:1: a value is required"),
        ("stay = 'yes'", "FILE:1: unexpected value 'yes' for '--stay'"),
        ("join = [[1]]", "FILE:1: a value is a text in quotes"),
        ("name = 1979-05-27", "FILE:1: a value is a text in quotes"),
        ("name = ann", "FILE:1: "),
        ("port = 1\nport = 2", "FILE:2: duplicate key"),
        ("config = 'x'", "FILE:1: config stands on the command line"),
        ("help = true", "FILE:1: help stands on the command line"),
    ] {
        let error = refusal(text);
        assert!(error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn a_file_that_is_no_configuration_is_told_in_a_line() {
    assert!(refusal(b"name = '\xff'").contains("it is not UTF-8"));
    assert!(refusal(vec![b'#'; 70_000]).contains("more than 65536 bytes"));
    assert!(refusal(["[".repeat(60_000), "a".to_owned()].concat()).starts_with("error: FILE:1: "));
    let scratch = Scratch::new();
    let error = parse(&["--config", scratch.0.to_str().unwrap()], None).unwrap_err();
    assert!(error.contains("is no file"), "{error}");
    let sparse = scratch.0.join("sparse");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 30).unwrap();
    let error = parse(&["--config", sparse.to_str().unwrap()], None).unwrap_err();
    assert!(error.contains("more than 65536 bytes"), "{error}");
}

#[test]
fn of_two_options_that_exclude_each_other_the_command_line_s_wins_over_the_file_s() {
    let scratch = Scratch::new();
    let here = vec!["here:1".to_owned()];
    let path = scratch.file("alone = true");
    let probe = parse(&["--tracker", "a:1"], Some(&path)).unwrap();
    assert_eq!((probe.alone, probe.tracker), (false, vec!["a:1".to_owned()]));
    let probe = parse(&["--host"], Some(&path)).unwrap();
    assert_eq!((probe.alone, probe.host.as_deref()), (false, Some("home")));
    assert!(parse(&[], Some(&path)).unwrap().alone);
    let path = scratch.file("tracker = ['a:1']\nhost = true");
    let probe = parse(&["--alone"], Some(&path)).unwrap();
    assert_eq!((probe.alone, probe.tracker, probe.host), (true, here.clone(), None));
    let path = scratch.file("tracker = ['a:1']\nalone = false");
    assert_eq!(parse(&[], Some(&path)).unwrap().tracker, ["a:1"]);
    let path = scratch.file("tracker = 7");
    assert!(parse(&["--alone"], Some(&path)).is_ok(), "what loses need not be good, but must be an option");
    assert!(
        refusal("alone = true\nport = 1\ntracker = ['a:1']")
            .contains("FILE:1: alone cannot be used with tracker")
    );
    let error = parse(&["--alone", "--tracker", "a:1"], None).unwrap_err();
    assert_eq!(error, "error: --alone cannot be used with --tracker\n");
}
