use std::borrow::Cow;
use std::sync::Arc;

use crate::build::base::ResolvedBase;
use crate::build::system::ServiceSystem;
use crate::image::BaseFiles;
use crate::native::BaseLibraries;

/// What native code finds below the packages of an image: the base, and what is added to it.
pub(super) struct Foundation<'a> {
    base: &'a ResolvedBase,
    system: Arc<ServiceSystem>,
    pub files: Cow<'a, BaseFiles>,
    pub libraries: BaseLibraries,
}

/// Those of all services. Services with the same base, to which the same is added, share one.
#[derive(Default)]
pub(super) struct Foundations<'a>(Vec<Foundation<'a>>);

impl<'a> Foundations<'a> {
    /// That of a service.
    pub fn of(&mut self, base: &'a ResolvedBase, system: Arc<ServiceSystem>) -> &Foundation<'a> {
        let is_same = |known: &Foundation<'a>| {
            std::ptr::eq(known.base, base)
                && (Arc::ptr_eq(&known.system, &system) || known.system.tree.is_empty() && system.tree.is_empty())
        };
        let place = self.0.iter().position(is_same).unwrap_or_else(|| {
            let files = base.files.under(&system.tree);
            let libraries = files.libraries();
            self.0.push(Foundation { base, system, files, libraries });
            self.0.len() - 1
        });
        &self.0[place]
    }
}
