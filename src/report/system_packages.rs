use serde::Serialize;

use crate::build::ImagePlan;

/// A package that is added to a base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SystemPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl SystemPackage {
    /// Those of an image, by their names.
    pub(super) fn of(image: &ImagePlan) -> Vec<Self> {
        let packages = image.system_packages.iter();
        let packages =
            packages.map(|package| Self { name: package.name.clone(), version: package.version.to_string() });
        let mut packages: Vec<Self> = packages.collect();
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        packages
    }
}

/// A line for each set of packages: the services that have it, with their platforms where `several` of them are built; in
/// short where all have it.
pub(super) fn lines<'a>(
    images: impl Iterator<Item = (&'a String, &'a String, &'a Vec<SystemPackage>)>,
    several: bool,
) -> Vec<String> {
    let mut sets: Vec<(&Vec<SystemPackage>, Vec<String>)> = Vec::new();
    let mut count = 0;
    for (service, platform, packages) in images.inspect(|_| count += 1).filter(|(.., packages)| !packages.is_empty()) {
        let label = if several { format!("{service} ({platform})") } else { service.clone() };
        match sets.iter_mut().find(|(known, _)| *known == packages) {
            Some((_, labels)) => labels.push(label),
            None => sets.push((packages, vec![label])),
        }
    }
    let line = |(packages, labels): (&Vec<SystemPackage>, Vec<String>)| {
        let packages = packages.iter().map(|package| format!("{} {}", package.name, package.version));
        let whose = if labels.len() == count && count > 1 { "all images".to_owned() } else { labels.join(", ") };
        format!("Added to the base of {whose}: {}.", packages.collect::<Vec<_>>().join(", "))
    };
    sets.into_iter().map(line).collect()
}
