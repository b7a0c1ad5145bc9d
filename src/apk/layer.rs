//! The layer that holds packages: their files where the base has the directories, and apk's records of them.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;

use super::database::InstalledFile;
use super::{
    ApkError, BaseRecords, Checksum, ChosenPackage, DataEntry, DataKind, Dependency, Installed, InstalledPackage,
    PackageFile,
};
use crate::image::BaseFiles;
use crate::layer::{Content, Entry, FileTree, ForeignKind, Kind, Owner};
use crate::path::ImagePath;

/// A package that is to be added.
pub struct AddedPackage<'a> {
    /// What its repository says of it.
    pub chosen: &'a ChosenPackage,
    /// What its file holds.
    pub file: &'a PackageFile,
    /// Gives the content of a file of it, by offset, size and digest.
    pub content: &'a dyn Fn(u64, u64, crate::digest::Digest) -> Content,
}

/// What adding packages makes of a base.
#[derive(Clone, Debug, Default)]
pub struct SystemLayer {
    /// The entries of the layer.
    pub tree: FileTree,
    /// The packages of the base whose triggers apk would have run, each with a directory that changed.
    pub triggers: Vec<(String, ImagePath)>,
}

impl SystemLayer {
    /// Adds packages to a base, in this order. `wanted` is what was asked for.
    pub fn new(
        base: &BaseFiles,
        records: &BaseRecords,
        wanted: &[Dependency],
        added: &[AddedPackage<'_>],
    ) -> Result<Self, ApkError> {
        let mut laying = Laying::new(base, records)?;
        for package in added {
            laying.add(package)?;
        }
        laying.finish(records, wanted, added)
    }
}

/// Whose a file is: the package, and where the database has it.
#[derive(Clone)]
struct Claim {
    package: String,
    directory: String,
    name: String,
}

struct Laying<'a> {
    base: &'a BaseFiles,
    installed: Installed,
    /// The owners of files, by where these really lie.
    owners: BTreeMap<ImagePath, Claim>,
    entries: BTreeMap<ImagePath, Entry>,
    /// Hard links and what they are other names of.
    links: BTreeMap<ImagePath, ImagePath>,
    /// Directories in which something changed, as packages name them.
    changed: BTreeSet<ImagePath>,
    users: Ids,
    groups: Ids,
}

/// Numbers by names, as passwd and group have them.
struct Ids(BTreeMap<String, u32>);

impl Ids {
    fn of(base: &BaseFiles, path: &str) -> Result<Self, ApkError> {
        let text = base.kept_text(&ImagePath::new(path)?).unwrap_or_default();
        let line = |line: &str| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
        };
        Ok(Self(text.lines().filter_map(line).collect()))
    }

    /// The number of whoever has this name in the image; else the one that the package has.
    fn id(&self, name: &str, or: u32) -> u32 {
        self.0.get(name).copied().unwrap_or(or)
    }
}

impl<'a> Laying<'a> {
    fn new(base: &'a BaseFiles, records: &BaseRecords) -> Result<Self, ApkError> {
        let mut laying = Self {
            base,
            installed: records.installed.clone(),
            owners: BTreeMap::new(),
            entries: BTreeMap::new(),
            links: BTreeMap::new(),
            changed: BTreeSet::new(),
            users: Ids::of(base, "/etc/passwd")?,
            groups: Ids::of(base, "/etc/group")?,
        };
        for InstalledPackage { package, directories, .. } in &records.installed.packages {
            for directory in directories {
                let real = base.real_path(&ImagePath::root().join(&directory.path)?);
                for file in &directory.files {
                    let claim = Claim {
                        package: package.name.clone(),
                        directory: directory.path.clone(),
                        name: file.name.clone(),
                    };
                    laying.owners.insert(real.join(&file.name)?, claim);
                }
            }
        }
        Ok(laying)
    }

    fn add(&mut self, added: &AddedPackage<'_>) -> Result<(), ApkError> {
        let mut installed = InstalledPackage::new(added.chosen, added.file)?;
        for entry in &added.file.entries {
            let owner =
                Owner { uid: self.users.id(&entry.user, entry.uid), gid: self.groups.id(&entry.group, entry.gid) };
            let named = ImagePath::root().join(&entry.path)?;
            match &entry.kind {
                DataKind::Directory => self.directory(entry, owner, &named, &mut installed)?,
                _ => self.file(added, entry, owner, &named, &mut installed)?,
            }
        }
        self.installed.add(installed);
        Ok(())
    }

    fn directory(
        &mut self,
        entry: &DataEntry,
        owner: Owner,
        named: &ImagePath,
        installed: &mut InstalledPackage,
    ) -> Result<(), ApkError> {
        installed.directory(&entry.path).access = access(owner, entry.mode, 0o755);
        let real = self.base.real_path(named);
        match self.base.get(&real).map(|known| &known.kind) {
            // What the base has stays as it is.
            Some(ForeignKind::Directory) => return Ok(()),
            Some(_) => return Err(in_the_way(installed, &real)),
            None => {}
        }
        self.changed.extend(named.parent());
        let directory = Entry { kind: Kind::Directory, mode: entry.mode, owner };
        // Where two packages have one directory, the first one says what it is.
        match self.entries.entry(real.clone()).or_insert(directory).kind {
            Kind::Directory => Ok(()),
            _ => Err(in_the_way(installed, &real)),
        }
    }

    fn file(
        &mut self,
        added: &AddedPackage<'_>,
        entry: &DataEntry,
        owner: Owner,
        named: &ImagePath,
        installed: &mut InstalledPackage,
    ) -> Result<(), ApkError> {
        let (directory, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        let parent = self.base.real_path(&ImagePath::root().join(directory)?);
        let mut place = parent.join(name)?;
        let claim =
            Claim { package: installed.package.name.clone(), directory: directory.to_owned(), name: name.to_owned() };
        let owned = self.owners.get(&place).cloned();
        if let Some(owned) = &owned
            && !self.takes_over(owned, installed, &place)?
        {
            return Ok(());
        }
        let existing = self.base.get(&place).map(|known| &known.kind);
        if existing == Some(&ForeignKind::Directory) {
            return Err(in_the_way(installed, &place));
        }
        if let Some(owned) = owned {
            let mut known = self.installed.packages.iter_mut();
            known
                .find(|known| known.package.name == owned.package)
                .into_iter()
                .for_each(|known| known.forget(&owned.directory, &owned.name));
        }
        self.owners.insert(place.clone(), claim);
        // A setting that somebody made is not lost. Source: apk-protected_paths(5): everything below /etc is protected.
        if existing.is_some() && place.starts_with(&ImagePath::new("/etc")?) {
            place = parent.join(format!("{name}.apk-new"))?;
        }
        self.changed.extend(named.parent());
        let (kind, checksum, mode) = self.kind(added, entry, &place)?;
        let file = InstalledFile {
            name: name.to_owned(),
            access: access(owner, mode, 0o644),
            checksum: checksum.map(|checksum| checksum.to_string()),
        };
        installed.directory(directory).files.push(file);
        self.entries.insert(place, Entry { kind, mode, owner });
        Ok(())
    }

    /// What a file or link of a package is in the layer, with what the database says of it.
    fn kind(
        &mut self,
        added: &AddedPackage<'_>,
        entry: &DataEntry,
        place: &ImagePath,
    ) -> Result<(Kind, Option<Checksum>, u32), ApkError> {
        let of_file = |other: &DataEntry| match &other.kind {
            DataKind::File { offset, size, digest, checksum } => {
                Some((Kind::File((added.content)(*offset, *size, *digest)), Some(checksum.clone()), entry.mode))
            }
            _ => None,
        };
        match &entry.kind {
            DataKind::Symlink(target) => {
                Ok((Kind::Symlink(target.into()), Some(Checksum::sha1(target.as_bytes())), 0o777))
            }
            DataKind::HardLink(target) => {
                let missing = || ApkError::HardLink { package: added.chosen.package.label(), path: entry.path.clone() };
                let original = added.file.entries.iter().find(|other| other.path == *target).ok_or_else(missing)?;
                let (kind, checksum, _) = of_file(original).ok_or_else(missing)?;
                let real = self.base.real_path(&ImagePath::root().join(target)?);
                self.links.insert(place.clone(), real);
                Ok((kind, checksum, original.mode))
            }
            DataKind::File { .. } | DataKind::Directory => {
                Ok(of_file(entry).unwrap_or((Kind::Directory, None, entry.mode)))
            }
        }
    }

    /// Whether a package gets a file that another one has; an error if neither may.
    fn takes_over(&self, owned: &Claim, installed: &InstalledPackage, place: &ImagePath) -> Result<bool, ApkError> {
        let Some(other) = self.installed.packages.iter().find(|known| known.package.name == owned.package) else {
            return Ok(true);
        };
        let (ours, theirs) = (&installed.package, &other.package);
        if ours.origin.is_some() && ours.origin == theirs.origin {
            return Ok(true);
        }
        let priority = |one: &InstalledPackage, two: &InstalledPackage| {
            let replaces = one.replaces.iter().any(|dependency| two.package.satisfies(dependency));
            replaces.then_some(one.replaces_priority)
        };
        match (priority(installed, other), priority(other, installed)) {
            (None, None) => {
                Err(ApkError::FileConflict { package: ours.label(), owner: theirs.label(), path: place.clone() })
            }
            (our, their) => Ok(our >= their),
        }
    }

    fn finish(
        mut self,
        records: &BaseRecords,
        wanted: &[Dependency],
        added: &[AddedPackage<'_>],
    ) -> Result<SystemLayer, ApkError> {
        self.link();
        let added: Vec<(&ChosenPackage, &PackageFile)> = added.iter().map(|one| (one.chosen, one.file)).collect();
        for (path, bytes) in records.with(&self.installed, wanted, &added)? {
            let path = self.base.real_path(&path);
            let known = self.base.get(&path);
            let mode = known.map_or(0o644, |known| known.mode);
            let owner = known.map_or(Owner { uid: 0, gid: 0 }, |known| known.owner);
            self.entries.insert(path, Entry { kind: Kind::File(Content::Bytes(bytes)), mode, owner });
        }
        self.refuse_entries_below_others()?;
        let triggers = self.fired(records);
        Ok(SystemLayer { tree: FileTree::of(self.entries.into_iter().collect())?, triggers })
    }

    /// Makes hard links of the names of one file, to that name which comes first in a layer.
    fn link(&mut self) {
        let mut names: BTreeMap<ImagePath, BTreeSet<ImagePath>> = BTreeMap::new();
        for (link, original) in &self.links {
            names.entry(original.clone()).or_insert_with(|| BTreeSet::from([original.clone()])).insert(link.clone());
        }
        for names in names.into_values() {
            // What another package took over is another file.
            let mut names = names.into_iter();
            let Some(first) = names.find(|name| self.entries.contains_key(name)) else { continue };
            let original = self.entries.get(&first).cloned();
            for name in names {
                if let Some(entry) = self.entries.get_mut(&name).filter(|entry| Some(&**entry) == original.as_ref()) {
                    entry.kind = Kind::HardLink(first.clone());
                }
            }
        }
    }

    /// A package may bring a link and another one a file below it; apk would follow the link, a layer cannot.
    fn refuse_entries_below_others(&self) -> Result<(), ApkError> {
        for path in self.entries.keys() {
            for above in path.ancestors() {
                let is_other = |kind: &Kind| *kind != Kind::Directory;
                if self.entries.get(&above).is_some_and(|entry| is_other(&entry.kind)) {
                    let package = self.owners.get(path).map(|claim| claim.package.clone()).unwrap_or_default();
                    return Err(ApkError::InTheWay { package, path: above });
                }
            }
        }
        Ok(())
    }

    /// The packages of the base whose triggers would run.
    fn fired(&self, records: &BaseRecords) -> Vec<(String, ImagePath)> {
        let mut fired = Vec::new();
        for (package, patterns) in records.base_triggers() {
            let matchers: Vec<_> = patterns
                .iter()
                .filter_map(|pattern| {
                    GlobBuilder::new(pattern.trim_start_matches('+')).literal_separator(true).build().ok()
                })
                .map(|glob| glob.compile_matcher())
                .collect();
            let changed = self.changed.iter().find(|path| matchers.iter().any(|glob| glob.is_match(path.as_path())));
            fired.extend(changed.filter(|path| !is_idle(package, path)).map(|path| (package.to_owned(), path.clone())));
        }
        fired
    }
}

/// Whether a trigger would do nothing to an image: that of busybox makes the links to its commands again, which the base
/// has; only for kernel modules it does more. Source: Alpine's aports, `main/busybox/busybox.trigger`.
fn is_idle(package: &str, directory: &ImagePath) -> bool {
    package == "busybox" && !directory.as_path().starts_with("/lib/modules")
}

/// Owner and mode as the database has them; `None` where they are the usual ones.
fn access(owner: Owner, mode: u32, usual: u32) -> Option<String> {
    let Owner { uid, gid } = owner;
    ((uid, gid, mode) != (0, 0, usual)).then(|| format!("{uid}:{gid}:{mode:o}"))
}

fn in_the_way(installed: &InstalledPackage, path: &ImagePath) -> ApkError {
    ApkError::InTheWay { package: installed.package.label(), path: path.clone() }
}
