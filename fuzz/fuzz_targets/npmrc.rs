//! A project's `.npmrc`, `.yarnrc` and `.yarnrc.yml`: whatever they hold, secrets stay out of errors and warnings.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pirogue::npm_registry::{NpmSettings, Variables, parse_npmrc};
use pirogue::path::HostPath;
use pirogue::workspace::PackageManager;

const SECRET: &str = "fuzz-secret-6b1f";

fuzz_target!(|text: &str| {
    for (key, value) in parse_npmrc(text) {
        assert!(key.len() + value.len() <= text.len() + "true".len(), "nothing is made up");
    }
    // A file that is named is read, wherever it lies: some never end.
    if text.to_ascii_lowercase().contains("cafile") {
        return;
    }
    let Ok(dir) = tempfile::tempdir() else { return };
    let variables = Variables::from([("TOKEN".to_owned(), SECRET.to_owned())]);
    let read = |manager, file: &str| {
        let path: &Path = dir.path();
        fs::write(path.join(file), text).expect("it can be written");
        match NpmSettings::read(manager, &HostPath::new(path), None, &variables) {
            Ok(settings) => assert!(!settings.warnings().concat().contains(SECRET), "{:?}", settings.warnings()),
            Err(error) => assert!(!error.to_string().contains(SECRET), "{error}"),
        }
    };
    read(PackageManager::Npm, ".npmrc");
    read(PackageManager::YarnClassic, ".yarnrc");
    read(PackageManager::YarnBerry, ".yarnrc.yml");
});
