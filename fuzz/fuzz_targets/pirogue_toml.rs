//! pirogue.toml: whatever is wrong with it is told by its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::config::Settings;

fuzz_target!(|text: &str| {
    match Settings::parse(text) {
        Ok(settings) => {
            for name in settings.each.keys() {
                let _ = settings.of_service(name);
            }
            let _ = settings.refuse_unknown_services(&["web".to_owned()]);
        }
        Err(error) => {
            assert!(error.to_string().contains("`pirogue.toml"), "an error has its place: {error}");
            let _ = error.hint();
        }
    }
});
