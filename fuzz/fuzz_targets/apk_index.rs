//! Indexes of Alpine packages of any repository, and databases of any base.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::apk::{Dependency, Installed, Repository, RepositoryLine, parse_index, resolve};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = RepositoryLine::parse_list(&text);
    if let Ok(installed) = Installed::parse(&text) {
        let again = Installed::parse(&installed.text()).expect("what was written can be read");
        assert_eq!(again.text(), installed.text());
    }
    let Ok(packages) = parse_index(&text) else { return };
    let wanted: Vec<Dependency> = packages.iter().take(2).filter_map(|package| package.name.parse().ok()).collect();
    for package in &packages {
        assert!(!package.name.contains('/') && !package.version.as_str().contains('/'));
        for other in &packages {
            assert_eq!(package.version.compare(&other.version), other.version.compare(&package.version).reverse());
        }
    }
    let _ = resolve(&wanted, &[], &[Repository { tag: None, packages }], &[]);
});
