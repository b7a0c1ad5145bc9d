//! What people and registries call things: whatever is read is written the same way again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::build::Destination;
use pirogue::digest::Digest;
use pirogue::path::{HostPath, ImagePath};
use pirogue::platform::Platform;
use pirogue::registry::{Reference, Repository};
use pirogue::transfer::Place;

fuzz_target!(|text: &str| {
    match text.parse::<Reference>() {
        Ok(reference) => assert_eq!(reference.to_string().parse(), Ok(reference)),
        Err(error) => drop(error.hint()),
    }
    if let Ok(repository) = text.parse::<Repository>() {
        assert_eq!(repository.to_string().parse(), Ok(repository));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string(), text);
        assert!(platform.accepts(&platform) || platform.is_unknown());
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(path) = ImagePath::new(text) {
        assert_eq!(ImagePath::new(path.as_path()), Ok(path.clone()));
        assert!(path.ancestors().all(|above| path.starts_with(&above)));
    }
    if let Ok(place) = Place::parse_target(text, &HostPath::new("")) {
        assert_eq!(Place::parse(&place.to_string(), &HostPath::new("")).ok(), Some(place));
    }
    match Destination::parse(text, &HostPath::new("/w")) {
        Ok(_) => {}
        Err(error) => drop(error.hint()),
    }
});
