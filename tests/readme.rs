//! The README's quick start prints digests; they are those that it really gives.
//!
//! With `PIROGUE_BLESS=1` the digests in the README become what the build gives.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use harness::sample;

const MARK: &str = "@sha256:";

#[test]
fn the_digests_in_the_readme_are_what_the_quick_start_gives() {
    let Some(locked) = sample::built_from_lockfile() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("there is a README.md");
    let built: BTreeMap<String, String> = locked
        .sample
        .report
        .digests()
        .into_iter()
        .map(|(name, digest)| (name, digest.replace("sha256:", "")))
        .collect();
    if std::env::var_os("PIROGUE_BLESS").is_some_and(|value| value == "1") {
        let blessed = digests(&readme).into_iter().fold(readme.clone(), |text, (service, digest)| {
            let now = built.get(&service).unwrap_or_else(|| panic!("README.md names no service: `{service}`"));
            text.replace(&format!("{service}{MARK}{digest}"), &format!("{service}{MARK}{now}"))
        });
        fs::write(&path, &blessed).expect("README.md can be written");
        return assert_same(&blessed, &built);
    }
    assert_same(&readme, &built);
}

fn assert_same(readme: &str, built: &BTreeMap<String, String>) {
    let found = digests(readme);
    assert_eq!(found.len(), built.len(), "one line for each service: {found:#?}");
    let found: BTreeMap<String, String> = found.into_iter().collect();
    assert_eq!(found, *built, "to bring README.md up to date: PIROGUE_BLESS=1 cargo test --test readme");
}

/// Every `SERVICE@sha256:HEX` in a text.
fn digests(text: &str) -> Vec<(String, String)> {
    let found = text.match_indices(MARK).map(|(at, _)| {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let service = text[..at].rsplit(|letter| !is_name(letter)).next().unwrap_or_default();
        let hex: String = text[at + MARK.len()..].chars().take_while(char::is_ascii_hexdigit).collect();
        (service.to_owned(), hex)
    });
    found.filter(|(_, hex)| hex.len() == 64).collect()
}
