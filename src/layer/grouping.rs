//! Which fragments share a layer. The one place that decides it.

use std::collections::BTreeMap;

use super::{Entry, FileTree, Fragment, LayerPlan, LayerRole, TreeError};
use crate::path::ImagePath;

/// Everything that goes into one image above its base.
#[derive(Clone, Debug, Default)]
pub struct ImageContents {
    /// The image's user: passwd, group and shadow, and the home.
    pub user: FileTree,
    /// One fragment for each installed package.
    pub packages: Vec<Fragment>,
    /// One fragment for each workspace package, and one for the links to them.
    pub workspace: Vec<Fragment>,
    /// The service's own files.
    pub application: Vec<Fragment>,
}

/// Groups the contents of an image into layers, the one that changes least first: user, packages, workspace packages,
/// application. Empty layers are left out.
///
/// Each layer starts with the directories above its entries, so that it can be unpacked alone; `directory` says what the
/// entry of such a directory is.
pub fn group(contents: ImageContents, directory: impl Fn(&ImagePath) -> Entry) -> Result<Vec<LayerPlan>, TreeError> {
    let user = match contents.user.is_empty() {
        true => Vec::new(),
        false => vec![Fragment { label: "user".to_owned(), tree: contents.user }],
    };
    let groups = [
        (LayerRole::User, user),
        (LayerRole::Packages, contents.packages),
        (LayerRole::Workspace, contents.workspace),
        (LayerRole::Application, contents.application),
    ];
    let mut plans = Vec::new();
    for (role, fragments) in groups {
        let fragments = ordered(fragments)?;
        if !fragments.is_empty() {
            plans.push(LayerPlan { role, fragments: with_directories(fragments, &directory)? });
        }
    }
    Ok(plans)
}

/// Fragments without the empty ones, sorted by the path of their first entry: a package comes before those nested in it.
fn ordered(fragments: Vec<Fragment>) -> Result<Vec<Fragment>, TreeError> {
    let mut by_first_path: BTreeMap<ImagePath, Fragment> = BTreeMap::new();
    for fragment in fragments {
        let Some(first) = fragment.tree.iter().next().map(|(path, _)| path.clone()) else { continue };
        if by_first_path.insert(first.clone(), fragment).is_some() {
            return Err(TreeError(first));
        }
    }
    Ok(by_first_path.into_values().collect())
}

/// Puts the directories above all entries, where no fragment has them itself, into a fragment of their own at the front.
fn with_directories(
    fragments: Vec<Fragment>,
    directory: &impl Fn(&ImagePath) -> Entry,
) -> Result<Vec<Fragment>, TreeError> {
    let mut tree = FileTree::default();
    for fragment in &fragments {
        for (path, _) in fragment.tree.iter() {
            for above in path.ancestors() {
                if tree.get(&above).is_some() || fragment.tree.get(&above).is_some() {
                    break;
                }
                let entry = directory(&above);
                tree.insert(above, entry)?;
            }
        }
    }
    if tree.is_empty() {
        return Ok(fragments);
    }
    let directories = Fragment { label: "directories".to_owned(), tree };
    Ok(std::iter::once(directories).chain(fragments).collect())
}
