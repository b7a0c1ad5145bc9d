//! The step that looks whether the images will start, before anything is packed.

mod bases;

use std::collections::BTreeMap;
use std::fmt;

use rayon::prelude::*;
use tokio::task::block_in_place;

use super::inspection::{self, Inspection};
use super::pack::{FoundLayers, Packer};
use super::{BuildError, BuildPlan, Context, Decided, ImagePlan, ServicePlan};
use crate::check::{self, Allowance, CheckError, Checked, Finding, FleetMember, Severity, Subject, UnknownCode};
use crate::config::{Allowed, CheckLevel, ConfigError, Health, ServiceSettings};
use crate::platform::Platform;
use crate::workspace::{Workspace, WorkspacePath, compose_files};

/// What the checks of a service found.
#[derive(Clone, Debug)]
pub struct ServiceCheck {
    /// The name of the service.
    pub service: String,
    /// What was found.
    pub checked: Checked,
}

/// Images in which something was found that has to be mended.
#[derive(Debug, thiserror::Error)]
pub struct FailedChecks(Vec<ServiceCheck>);

impl FailedChecks {
    /// What to type next.
    pub fn hint(&self) -> String {
        match self.errors().any(|finding| finding.code.is_of_plan()) {
            true => "what each code means, and how to accept it, stands in docs/checks.md".to_owned(),
            false => "what each code means stands in docs/checks.md; to build all the same: `--no-check`".to_owned(),
        }
    }

    fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter().flat_map(|check| errors(&check.checked))
    }

    /// What the images fail, after their names.
    fn fail(&self) -> [&'static str; 2] {
        match self.errors().all(|finding| finding.code.is_of_plan()) {
            true => ["does not fit its base", "do not fit their bases"],
            false => ["does not pass the checks", "do not pass the checks"],
        }
    }
}

impl fmt::Display for FailedChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, several] = self.fail();
        match self.0.as_slice() {
            [only] => write!(f, "the service `{}` {one}", only.service)?,
            more => write!(f, "{} services {several}", more.len())?,
        }
        for (Finding { code, place, message, fix, .. }, services) in by_finding(&self.0, Severity::Error) {
            write!(f, "\n  {}: ", services.join(", "))?;
            place.iter().try_for_each(|place| write!(f, "{place}: "))?;
            write!(f, "{message} [{code}]")?;
            fix.iter().try_for_each(|fix| write!(f, "\n    {fix}"))?;
        }
        Ok(())
    }
}

fn errors(checked: &Checked) -> impl Iterator<Item = &Finding> {
    checked.findings.iter().filter(|finding| finding.severity == Severity::Error)
}

/// Each finding of a severity with the services that have it, those of the first service first: most services share most
/// packages.
fn by_finding(checks: &[ServiceCheck], severity: Severity) -> Vec<(&Finding, Vec<&str>)> {
    let mut told: Vec<(&Finding, Vec<&str>)> = Vec::new();
    let mut known: BTreeMap<&Finding, usize> = BTreeMap::new();
    for ServiceCheck { service, checked } in checks {
        for finding in checked.findings.iter().filter(|finding| finding.severity == severity) {
            let position = *known.entry(finding).or_insert(told.len());
            match told.get_mut(position) {
                Some((_, services)) => services.push(service),
                None => told.push((finding, vec![service])),
            }
        }
    }
    told
}

/// Ends a build whose images do not pass; tells what else its user should know.
pub(super) fn refuse_errors(checks: &[ServiceCheck], context: &Context) -> Result<(), BuildError> {
    for (finding, services) in by_finding(checks, Severity::Warning) {
        let place = finding.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        context.progress.warn(&format!("{}: {place}{} [{}]", services.join(", "), finding.message, finding.code));
    }
    let failed: Vec<ServiceCheck> =
        checks.iter().filter(|check| check.checked.count(Severity::Error) > 0).cloned().collect();
    if failed.is_empty() { Ok(()) } else { Err(FailedChecks(failed).into()) }
}

/// Checks the images of all services for which nobody said otherwise.
pub(super) async fn check(
    decided: &Decided,
    found: &FoundLayers<'_>,
    packer: &Packer<'_>,
) -> Result<Vec<ServiceCheck>, BuildError> {
    let (plan, context) = (&decided.plan, packer.context);
    let mut checks: Checks<'_> = BTreeMap::new();
    let mut open = Vec::new();
    let services = plan.services.iter().filter(|service| level(decided, service) != CheckLevel::Off);
    for (service, planned) in services.flat_map(|service| service.images.iter().map(move |image| (service, image))) {
        let image =
            OpenCheck { service, planned, fact: inspection::fact_name("check", decided, service, planned, found) };
        match context.store.fact(&image.fact)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(known) => image.close(known, &mut checks),
            None => open.push(image),
        }
    }
    if !open.is_empty() {
        let layers = open.iter().flat_map(|image| &image.planned.layers).filter_map(|index| plan.layers.get(*index));
        packer.have_contents(&layers.collect::<Vec<_>>()).await?;
        block_in_place(|| check_anew(decided, open, &mut checks, context))?;
    }
    let mut checked: BTreeMap<usize, Checked> = BTreeMap::new();
    for (position, service) in plan.services.iter().enumerate() {
        checked.extend(checks.remove(&service.service.dir).map(|images| (position, Checked::of_platforms(images))));
    }
    between_services(plan, &decided.workspace, &mut checked, context)?;
    for (position, findings) in bases::check(decided, checked.keys().copied(), context).await? {
        add(&mut checked, position, findings);
    }
    for (position, service) in plan.services.iter().enumerate() {
        match level(decided, service) {
            CheckLevel::Error => {}
            CheckLevel::Warn => checked.get_mut(&position).into_iter().for_each(Checked::soften),
            CheckLevel::Off => checked.extend(misfits_of(decided, service)?.map(|checked| (position, checked))),
        }
    }
    let name = |position: usize| plan.services.get(position).map(|service| service.service.name.clone());
    let result =
        checked.into_iter().map(|(position, checked)| Some(ServiceCheck { service: name(position)?, checked }));
    Ok(result.flatten().collect())
}

/// What planning found: services that do not fit their bases.
pub(super) fn misfits(decided: &Decided) -> Result<Vec<ServiceCheck>, ConfigError> {
    let mut checks = Vec::new();
    for service in &decided.plan.services {
        let misfits = misfits_of(decided, service)?;
        checks.extend(misfits.map(|checked| ServiceCheck { service: service.service.name.clone(), checked }));
    }
    Ok(checks)
}

/// Where the images of a service do not fit their bases, but for what its user accepts; `None` where they fit.
fn misfits_of(decided: &Decided, service: &ServicePlan) -> Result<Option<Checked>, ConfigError> {
    if service.images.iter().all(|image| image.misfits.is_empty()) {
        return Ok(None);
    }
    let allowed = allowed(decided, service)?;
    let of_image = |image: &ImagePlan| Checked { findings: image.misfits.clone(), ..Checked::default() };
    let images = service.images.iter().map(|image| (&image.platform, of_image(image).accepting(&allowed)));
    let checked = Checked::of_platforms(images.collect());
    Ok((!checked.findings.is_empty()).then_some(checked))
}

/// Adds what is wrong between services. Nothing of it is remembered: it depends on files that no image has. What a service
/// listens on is the same on every platform.
fn between_services(
    plan: &BuildPlan,
    workspace: &Workspace,
    checks: &mut BTreeMap<usize, Checked>,
    context: &Context,
) -> Result<(), BuildError> {
    if checks.is_empty() {
        return Ok(());
    }
    let mut compose = BTreeMap::new();
    for (name, file) in compose_files(&workspace.root).map_err(CheckError::from)? {
        match file {
            Ok(file) => _ = compose.insert(name, file),
            Err(error) => context.progress.warn(&format!("`{name}` {error}")),
        }
    }
    let with_image = plan.services.iter().enumerate().filter_map(|(at, plan)| Some((at, plan, plan.images.first()?)));
    let (positions, members): (Vec<usize>, Vec<FleetMember<'_>>) = with_image
        .map(|(at, ServicePlan { service, .. }, image)| (at, FleetMember { service, run: &image.contract.run }))
        .unzip();
    for (member, finding) in check::check_fleet(&members, &compose) {
        if let Some(position) = positions.get(member) {
            add(checks, *position, [finding]);
        }
    }
    Ok(())
}

/// Adds findings that are not remembered.
fn add(checks: &mut BTreeMap<usize, Checked>, position: usize, findings: impl IntoIterator<Item = Finding>) {
    if let Some(checked) = checks.get_mut(&position) {
        checked.findings.extend(findings);
        checked.findings.sort();
    }
}

/// What was found of each image, by the service's directory and the platform.
type Checks<'a> = BTreeMap<&'a WorkspacePath, BTreeMap<&'a Platform, Checked>>;

/// An image that is to be checked.
struct OpenCheck<'a> {
    service: &'a ServicePlan,
    planned: &'a ImagePlan,
    /// Where the result is remembered.
    fact: String,
}

impl<'a> OpenCheck<'a> {
    fn close(&self, checked: Checked, checks: &mut Checks<'a>) {
        checks.entry(&self.service.service.dir).or_default().insert(&self.planned.platform, checked);
    }
}

fn check_anew<'a>(
    decided: &'a Decided,
    open: Vec<OpenCheck<'a>>,
    checks: &mut Checks<'a>,
    context: &Context,
) -> Result<(), BuildError> {
    let inspection = Inspection::open(decided, open.iter().map(|image| image.planned), context)?;
    let check = |image: &OpenCheck<'a>| {
        let OpenCheck { service, planned, .. } = image;
        let allowed = allowed(decided, service)?;
        inspection.look_into(service, planned, |subject| {
            check::check(&Subject { allowed: &allowed, health_path: health_path(&service.settings), ..*subject })
        })
    };
    // In the order of the services, so that it is always the first one's error that is told.
    let results: Vec<Result<Option<Checked>, BuildError>> = open.par_iter().map(check).collect();
    for (image, result) in open.iter().zip(results) {
        let Some(checked) = result? else { continue };
        // Errors are looked at again while they are mended: how, may depend on more than what the image holds.
        if checked.findings.iter().all(|finding| finding.severity != Severity::Error) {
            context.store.put_fact(&image.fact, &serde_json::to_vec(&checked).unwrap_or_default())?;
        }
        image.close(checked, checks);
    }
    inspection.close()
}

/// What becomes of what the checks of a service find.
fn level(decided: &Decided, service: &ServicePlan) -> CheckLevel {
    decided.check.or(service.settings.check).unwrap_or(CheckLevel::Error)
}

/// What the health check asks for.
fn health_path(settings: &ServiceSettings) -> Option<&str> {
    match settings.health.as_ref()? {
        Health::Http(path, _) => Some(path),
        Health::Command(_) | Health::Off => None,
    }
}

/// What the user accepts of what the checks of a service find.
fn allowed(decided: &Decided, service: &ServicePlan) -> Result<Vec<Allowance>, ConfigError> {
    let allowed = decided.settings.of_service(&service.service.name).allow.into_iter();
    let allowance = |Allowed { path, code, reason, place }: Allowed| match code.parse() {
        Ok(code) => Ok(Allowance { path, code, reason }),
        Err(error @ UnknownCode(_)) => {
            Err(ConfigError::Value { place, key: "check.allow".to_owned(), problem: error.to_string() })
        }
    };
    allowed.map(allowance).collect()
}
