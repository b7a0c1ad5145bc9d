//! Packages are packed while others are still on their way, at the places that the lockfile gives them as far as it is known
//! by then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::tarball::ReadTarball;
use crate::build::platforms::{Lean, Platforms};
use crate::build::{BuildError, Context, contents, plan};
use crate::config::Settings;
use crate::layer::{Fragment, Owner, PackError, PackedAhead, Scratch};
use crate::manifest::media_type::Compression;
use crate::path::ImagePath;
use crate::workspace::{Service, WorkspacePath};

/// Packs packages on threads of its own. Dropping it ends them.
pub(super) struct PackingAhead {
    packed: Arc<PackedAhead>,
    root: ImagePath,
    owner: Owner,
    is_over: Arc<AtomicBool>,
    packages: Mutex<Option<Sender<Package>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A package at a place of the images.
struct Package {
    tarball: Arc<ReadTarball>,
    place: ImagePath,
    owner: Owner,
}

impl Package {
    /// As a layer would hold it.
    fn fragment(&self) -> Result<Fragment, BuildError> {
        let tree = self.tarball.tree(&self.place, self.owner, |_| false)?;
        let package_json = &self.tarball.package_json;
        let label = package_json.label();
        Ok(Fragment { name: package_json.name.clone().unwrap_or_default(), label, tree: Arc::new(tree) })
    }
}

impl PackingAhead {
    /// Waits for packages of these services; `None` without any, or where what images hold of packages, and whose it is, is
    /// only known later.
    pub fn start(
        services: &[Service],
        platforms: &Platforms<'_>,
        scratch: &Arc<Scratch>,
        context: &Context,
    ) -> Result<Option<Self>, BuildError> {
        let Platforms { settings, request, .. } = platforms;
        let compression = plan::compression(request, settings);
        let is_whole = |service: &Service| {
            let exclude = settings.of_service(&service.name).exclude.unwrap_or_default();
            exclude.is_empty() && platforms.lean(&service.name) == Lean { slim: false, traced: false }
        };
        let (Some(owner), true) = (common_owner(services, settings), services.iter().all(is_whole)) else {
            return Ok(None);
        };
        if compression == Compression::None {
            return Ok(None);
        }
        let hard_links = plan::hard_links(settings);
        let packed = Arc::new(PackedAhead::new(context.mtime, compression, hard_links, scratch.clone()));
        let (sender, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..context.threads {
            let (packed, receiver, is_over) = (packed.clone(), receiver.clone(), is_over.clone());
            let work = move || pack(&packed, &receiver, &is_over);
            threads.push(thread::Builder::new().spawn(work).map_err(PackError::Thread)?);
        }
        let (packages, threads) = (Mutex::new(Some(sender)), Mutex::new(threads));
        Ok(Some(Self { packed, root: contents::root(settings)?, owner, is_over, packages, threads }))
    }

    /// Packs a package at these places, once there is time.
    pub fn take(&self, tarball: &Arc<ReadTarball>, places: &[WorkspacePath]) {
        // What packages bring along may lie elsewhere.
        if tarball.outline.has_bundled {
            return;
        }
        let packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places.iter().filter_map(|place| self.root.join(place.as_path()).ok()) {
            if let Some(packages) = &*packages {
                // Nobody takes it once it is over.
                _ = packages.send(Package { tarball: tarball.clone(), place, owner: self.owner });
            }
        }
    }

    /// What was packed until now. Nothing else will be.
    pub fn finish(&self) -> &PackedAhead {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.packages.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        &self.packed
    }
}

impl Drop for PackingAhead {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Packs what comes until it is over. What fails is packed again with its layer, and told of then.
fn pack(packed: &PackedAhead, packages: &Mutex<Receiver<Package>>, is_over: &AtomicBool) {
    let Ok(mut packer) = packed.packer() else { return };
    let is_enough = || is_over.load(Ordering::Relaxed);
    loop {
        let next = packages.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(package) = next else { return };
        if is_enough() {
            return;
        }
        if let Ok(fragment) = package.fragment() {
            _ = packer.pack(fragment, is_enough);
        }
    }
}

/// The user who owns the files of all these services, if it is one, and does not depend on a base.
fn common_owner(services: &[Service], settings: &Settings) -> Option<Owner> {
    let owner = |service: &Service| settings.of_service(&service.name).user.unwrap_or_default().own_owner();
    let mut owners = services.iter().map(owner);
    let first = owners.next()??;
    owners.all(|owner| owner == Some(first)).then_some(first)
}
