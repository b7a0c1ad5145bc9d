//! What bases' names stand for now, beside what the lock says.

use std::collections::BTreeMap;

use crate::build::base::{if_it_can_be_had, offered};
use crate::build::{BuildError, Context, Decided};
use crate::check::{BaseDrift, Finding, unlocked_base};
use crate::platform::Platform;
use crate::registry::Reference;
use crate::transfer::Medium;

/// The findings on the base of each of these services, by the service's position in the plan. Layouts on this machine are
/// always looked at, registries are asked only if the user wants it.
pub(super) async fn check(
    decided: &Decided,
    services: impl Iterator<Item = usize>,
    context: &Context,
) -> Result<BTreeMap<usize, Vec<Finding>>, BuildError> {
    let mut findings = BTreeMap::new();
    let mut known: BTreeMap<&str, Option<_>> = BTreeMap::new();
    for position in services {
        let Some(service) = decided.plan.services.get(position) else { continue };
        let name = service.base.as_str();
        let Some(locked) = decided.lock.pinned(name)? else {
            findings.insert(position, decided.lock.lacks(name).then(|| unlocked_base(name)).into_iter().collect());
            continue;
        };
        if !known.contains_key(name) {
            let current = match may_move(name) && (decided.online || Medium::of(name).0 != Medium::Registry) {
                true => if_it_can_be_had(offered(name, &decided.workspace.root, context).await, context)?,
                false => None,
            };
            known.insert(name, current);
        }
        let Some(Some(current)) = known.get(name) else { continue };
        let drift = |platform: &Platform| {
            let locked = locked.manifest(platform)?;
            BaseDrift { name, platform, locked, current: current.manifest(platform) }.finding()
        };
        findings.insert(position, service.images.iter().filter_map(|image| drift(&image.platform)).collect());
    }
    Ok(findings)
}

/// Whether a name may come to stand for something else: one with a digest does not.
fn may_move(name: &str) -> bool {
    Medium::of(name).0 != Medium::Registry
        || name.parse::<Reference>().is_ok_and(|reference| reference.digest().is_none())
}
