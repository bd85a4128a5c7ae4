//! Pages name tests: those are there.

use crate::{tree, verdict};

#[test]
fn every_test_that_the_page_of_faults_names_exists() {
    let files = tree::text_files();
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let page = text("docs/faults.md").unwrap();
    let (mut named, mut missing, mut tests) = ("", Vec::new(), 0);
    // What stands between back quotes: a file, then functions in it.
    for word in page.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            named = word;
        } else if word.contains('_') {
            tests += 1;
            if !text(named).is_some_and(|text| text.contains(&format!("fn {word}()"))) {
                missing.push(format!("{named}: no fn {word}"));
            }
        }
    }
    assert!(tests > 20, "{tests} tests are found on the page");
    verdict(
        missing,
        "a fault whose test is gone may come back unseen: name the test that has taken its place.",
    );
}
