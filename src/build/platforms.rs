//! The platforms that images are built for.

use std::sync::Arc;

use super::base::{Bases, base_name};
use super::{BuildError, BuildRequest};
use crate::closure::NodePlatform;
use crate::config::{ServiceSettings, Settings};
use crate::platform::Platform;

/// The platforms that are built for.
pub(super) struct Platforms<'a> {
    pub wanted: &'a [Platform],
    pub settings: &'a Settings,
    pub request: &'a BuildRequest,
    /// The bases that are known yet; without one, packages for any C library stay.
    pub bases: Option<Arc<Bases>>,
}

impl Platforms<'_> {
    /// Each of them.
    pub fn each(&self) -> impl Iterator<Item = TargetPlatform<'_>> {
        self.wanted.iter().map(|platform| TargetPlatform { platform, platforms: self })
    }

    /// What files the packages of a service do without, whatever the platform.
    pub fn lean(&self, service: &str) -> Lean {
        Lean::of(self.request, &self.settings.of_service(service))
    }
}

/// What files the packages of an image do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lean {
    /// Those that no running program reads.
    pub slim: bool,
    /// Those that the service cannot reach.
    pub traced: bool,
}

impl Lean {
    /// As somebody typed it, else as the settings of the service have it.
    pub fn of(request: &BuildRequest, settings: &ServiceSettings) -> Self {
        Self {
            slim: request.slim.or(settings.slim).unwrap_or(false),
            traced: request.trace.or(settings.trace).unwrap_or(false),
        }
    }
}

/// A platform that is built for. The C library of a service's image is that of its base.
#[derive(Clone, Copy)]
pub(super) struct TargetPlatform<'a> {
    pub platform: &'a Platform,
    pub platforms: &'a Platforms<'a>,
}

impl TargetPlatform<'_> {
    /// What holds whatever the C library is.
    pub fn of_any(&self) -> NodePlatform {
        NodePlatform::new(self.platform, None)
    }

    /// The platform of a service's image.
    pub fn of_service(&self, name: &str) -> NodePlatform {
        let Platforms { settings, request, bases, .. } = self.platforms;
        let base = bases.as_ref().and_then(|bases| bases.get(&base_name(name, settings, request), self.platform));
        NodePlatform::new(self.platform, base.and_then(|base| base.files.libc()))
    }
}

/// The platforms to build for, in their order, each once: those that are typed, else those of `pirogue.toml`, else this
/// machine's processor on Linux.
pub(super) fn wanted(typed: &[Platform], configured: &[String]) -> Result<Vec<Platform>, BuildError> {
    let platforms = match (typed, configured) {
        ([], []) => vec![Platform::of_this_machine()],
        ([], configured) => configured.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
        (typed, _) => typed.to_vec(),
    };
    Ok(each_once(platforms))
}

/// Platforms in their order, each once.
pub(super) fn each_once(mut platforms: Vec<Platform>) -> Vec<Platform> {
    platforms.sort();
    // arm64 has two names.
    platforms.dedup_by(|a, b| a.accepts(b) && b.accepts(a));
    platforms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_come_in_their_order_and_once() {
        let table: [(&str, &[&str], &[&str], &[&str]); 4] = [
            ("typed", &["linux/arm64", "linux/amd64"], &["linux/s390x"], &["linux/amd64", "linux/arm64"]),
            ("from the file", &[], &["linux/s390x"], &["linux/s390x"]),
            ("twice", &["linux/amd64", "linux/arm64", "linux/amd64"], &[], &["linux/amd64", "linux/arm64"]),
            ("by another name", &["linux/arm64/v8", "linux/arm64"], &[], &["linux/arm64"]),
        ];
        for (comment, typed, configured, expected) in table {
            let typed: Vec<Platform> = typed.iter().map(|text| text.parse().unwrap()).collect();
            let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
            let found = wanted(&typed, &configured).unwrap();
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{comment}");
        }
    }
}
