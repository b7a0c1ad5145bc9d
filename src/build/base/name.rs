use crate::registry::Reference;
use crate::transfer::{Medium, Source};

/// What a name of a base is in the annotation of an image on it; `None` where it is no registry's.
pub(in crate::build) fn annotated_name(name: &str) -> Option<String> {
    match Medium::of(name).0 {
        Medium::Registry => Some(whole_name(&name.parse().ok()?)),
        _ => None,
    }
}

/// What an image says that it lies on: the whole reference, which means the same to everybody. Images on this machine have
/// no such name.
pub(super) fn public_name(source: &Source) -> Option<String> {
    match source {
        Source::Registry(_, reference) => Some(whole_name(reference)),
        Source::Layout(_) => None,
    }
}

fn whole_name(reference: &Reference) -> String {
    match reference.tag() {
        Some(tag) => format!("{}:{tag}", reference.repository()),
        None => reference.to_string(),
    }
}
