//! The package.json of any package anyone ever published.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::workspace::PackageJson;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(package_json) = PackageJson::parse(bytes) {
        let _ = package_json.label();
        let _ = package_json.limits.allow("linux", "x64", None);
        let declared_twice = |name| package_json.optional_dependencies.contains_key(name);
        assert!(!package_json.dependencies.keys().any(declared_twice), "an optional dependency is no other");
    }
});
