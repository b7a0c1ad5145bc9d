use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::megabytes;
use crate::build::{BaseChange, BaseUpdate, ImageChange, PackageChange};
use crate::image::BaseSoftware;
use crate::lock::{LockedBase, LockedPackage};

/// What `pirogue base update` found.
#[derive(Clone, Debug, Serialize)]
pub struct BaseUpdateReport {
    /// The bases, by their references.
    pub bases: Vec<BaseReport>,
    /// The bases that left the lock, since no service has them.
    pub removed: Vec<String>,
    /// The lock, if it was written.
    pub written: Option<String>,
    /// Whether it was only to be said what would change.
    pub dry_run: bool,
}

/// One base.
#[derive(Clone, Debug, Serialize)]
pub struct BaseReport {
    /// Its reference, as the user wrote it.
    pub reference: String,
    /// The digest in the lock before.
    pub digest_before: Option<String>,
    /// The digest now.
    pub digest: String,
    /// The platforms whose manifest changed.
    pub platforms: Vec<PlatformReport>,
    /// The packages added to it that changed.
    pub packages: Vec<PackageReport>,
}

/// A package that is added to a base and changed.
#[derive(Clone, Debug, Serialize)]
pub struct PackageReport {
    /// The platform.
    pub platform: String,
    /// Its name.
    pub name: String,
    /// The version in the lock before; `None` if it is new.
    pub version_before: Option<String>,
    /// The version now; `None` if it is added no more.
    pub version: Option<String>,
}

/// A platform of a base whose manifest changed.
#[derive(Clone, Debug, Serialize)]
pub struct PlatformReport {
    /// The platform.
    pub platform: String,
    /// The manifest's digest before; `None` if the platform is new.
    pub digest_before: Option<String>,
    /// The manifest's digest now; `None` if the platform is gone.
    pub digest: Option<String>,
    /// What changed in the image; only for the platforms that are built.
    pub image: Option<ImageReport>,
}

/// What changed in the image of a base.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// What was in it, where it can still be looked at.
    pub before: Option<SoftwareReport>,
    /// What is in it now.
    pub after: SoftwareReport,
    /// How many layers it has.
    pub layers: usize,
    /// How many of them it did not have before.
    pub new_layers: usize,
    /// How many bytes those have.
    pub new_bytes: u64,
}

/// What services notice of a base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SoftwareReport {
    /// The version of Node.
    pub node: Option<String>,
    /// The distribution and its version.
    pub os: Option<String>,
    /// The C library and its version.
    pub libc: Option<String>,
}

impl BaseUpdateReport {
    /// Reports on an update.
    pub fn new(update: &BaseUpdate, dry_run: bool) -> Self {
        Self {
            bases: update.bases.iter().map(BaseReport::new).collect(),
            removed: update.removed.clone(),
            written: update.written.as_ref().map(ToString::to_string),
            dry_run,
        }
    }
}

impl BaseReport {
    fn new(change: &BaseChange) -> Self {
        let manifests = |base: &LockedBase| base.manifests.clone();
        let (before, after) = (change.before.as_ref().map(manifests).unwrap_or_default(), manifests(&change.after));
        let mut either: BTreeMap<_, _> =
            before.keys().map(|platform| (platform, (before.get(platform), None))).collect();
        for (platform, digest) in &after {
            either.entry(platform).or_default().1 = Some(digest);
        }
        let changed = either.into_iter().filter(|(_, (before, after))| before != after);
        let platforms = changed.map(|(platform, (before, after))| PlatformReport {
            platform: platform.to_string(),
            digest_before: before.map(ToString::to_string),
            digest: after.map(ToString::to_string),
            image: change.images.get(platform).map(ImageReport::new),
        });
        Self {
            reference: change.reference.clone(),
            digest_before: change.before.as_ref().map(|base| base.digest.to_string()),
            digest: change.after.digest.to_string(),
            platforms: platforms.collect(),
            packages: PackageReport::of(change),
        }
    }
}

impl PackageReport {
    fn of(change: &BaseChange) -> Vec<Self> {
        let version = |package: &Option<LockedPackage>| package.as_ref().map(|package| package.version.clone());
        let of_each = change.packages.iter().flat_map(|(platform, of_it)| of_it.iter().map(move |one| (platform, one)));
        let report = of_each.map(|(platform, (name, PackageChange { before, after }))| Self {
            platform: platform.to_string(),
            name: name.clone(),
            version_before: version(before),
            version: version(after),
        });
        report.collect()
    }
}

impl ImageReport {
    fn new(change: &ImageChange) -> Self {
        Self {
            before: change.before.as_ref().map(SoftwareReport::new),
            after: SoftwareReport::new(&change.after),
            layers: change.layers.len(),
            new_layers: change.new_layers.len(),
            new_bytes: change.new_layers.iter().map(|layer| layer.size).sum(),
        }
    }
}

impl SoftwareReport {
    fn new(software: &BaseSoftware) -> Self {
        let BaseSoftware { node, os, libc } = software.clone();
        Self { node, os, libc }
    }
}

impl fmt::Display for BaseUpdateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for base in &self.bases {
            write!(f, "{base}")?;
        }
        for reference in &self.removed {
            writeln!(f, "{reference}\n  no service has it: it leaves the lock")?;
        }
        match (&self.written, self.dry_run) {
            (Some(path), _) => writeln!(f, "\nwritten: {path}"),
            (None, true) => writeln!(f, "\nNothing was written."),
            (None, false) => writeln!(f, "\nThe lock is up to date."),
        }
    }
}

impl fmt::Display for BaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reference)?;
        let digest = short(&self.digest);
        match self.digest_before.as_deref().map(short) {
            None => writeln!(f, "  new: {digest}")?,
            Some(before) if before == digest => writeln!(f, "  unchanged: {digest}")?,
            Some(before) => writeln!(f, "  {before} -> {digest}")?,
        }
        self.platforms.iter().try_for_each(|platform| write!(f, "{platform}"))?;
        for of_platform in self.packages.chunk_by(|one, other| one.platform == other.platform) {
            of_platform.first().map_or(Ok(()), |first| writeln!(f, "  {}  packages added to it", first.platform))?;
            of_platform.iter().try_for_each(|package| write!(f, "{package}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for PackageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version_before, version, .. } = self;
        match (version_before, version) {
            (Some(before), Some(after)) if before == after => writeln!(f, "    {name} {after}, made anew"),
            (Some(before), Some(after)) => writeln!(f, "    {name} {before} -> {after}"),
            (None, Some(after)) => writeln!(f, "    {name} new: {after}"),
            (before, None) => writeln!(f, "    {name} gone: {}", before.as_deref().unwrap_or_default()),
        }
    }
}

impl fmt::Display for PlatformReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = [&self.digest_before, &self.digest].map(|digest| digest.as_deref().map(short));
        match (before, after) {
            (Some(before), Some(after)) => writeln!(f, "  {}  {before} -> {after}", self.platform)?,
            (None, Some(after)) => writeln!(f, "  {}  new: {after}", self.platform)?,
            (before, None) => writeln!(f, "  {}  gone: {}", self.platform, before.unwrap_or_default())?,
        }
        let Some(image) = &self.image else { return Ok(()) };
        let before = image.before.clone();
        let rows: [(&str, fn(&SoftwareReport) -> &Option<String>); 3] =
            [("Node", |software| &software.node), ("OS", |software| &software.os), ("libc", |software| &software.libc)];
        for (name, value) in rows {
            let [was, is] =
                [before.as_ref().and_then(|before| value(before).as_deref()), value(&image.after).as_deref()];
            let is = is.unwrap_or("unknown");
            match was.unwrap_or("unknown") {
                _ if before.is_none() => writeln!(f, "    {name:6} {is}")?,
                was if was == is => writeln!(f, "    {name:6} {is}, unchanged")?,
                was => writeln!(f, "    {name:6} {was} -> {is}")?,
            }
        }
        let ImageReport { layers, new_layers, new_bytes, .. } = image;
        writeln!(f, "    layers {new_layers} of {layers} new, {}", megabytes(*new_bytes))?;
        if self.digest_before.is_some() && before.is_none() {
            writeln!(f, "    the image before is no longer there to compare with")?;
        }
        Ok(())
    }
}

/// The first twelve hexadecimal digits.
pub(super) fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}
