//! Images pushed to and bases pulled from registries with every habit: it ends right, or with the right error and
//! nothing tagged.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use harness::layout::{self, Image};
use harness::misbehaving::{Asked, IDENTITY, PASSWORD, Part, PlayedRegistry, Profile, USER, profiles};
use harness::workspace::{BASE, Run, TestWorkspace};

const SIZE: u64 = 9 << 20;

fn workspace() -> TestWorkspace {
    TestWorkspace::shop()
}

/// pirogue, who knows the password of the registry; its cache is `cache`.
fn pirogue(workspace: &TestWorkspace, registry: &PlayedRegistry, cache: &Path, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let shown = match registry.identity {
        true => format!(r#""identitytoken": "{IDENTITY}""#),
        false => format!(r#""username": "{USER}", "password": "{PASSWORD}""#),
    };
    let config = format!(r#"{{"auths": {{"{}": {{{shown}}}}}}}"#, registry.host());
    fs::write(folder.path().join("config.json"), config).unwrap();
    let mut command = workspace.pirogue(arguments);
    command.env("DOCKER_CONFIG", folder.path()).env("PIROGUE_CACHE_DIR", cache);
    workspace.told(&command.output().unwrap())
}

/// A build, as such a pirogue does it.
fn build(workspace: &TestWorkspace, registry: &PlayedRegistry, cache: &Path, base: &str, to: &str) -> Run {
    let arguments = ["build", "--compression", "none", "--platform", "linux/amd64", "--base", base, "--to", to];
    pirogue(workspace, registry, cache, &arguments)
}

/// Runs `check` for every profile, several at a time, and tells all that fail.
fn for_every_profile(check: impl Fn(&Profile) -> Result<(), String> + Sync) {
    let (profiles, failures) = (Mutex::new(profiles()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some(profile) = profiles.lock().unwrap().pop() else { break };
                    if let Err(failure) = check(&profile) {
                        failures.lock().unwrap().insert(profile.name, failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let told: Vec<_> = failures.iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
    assert!(told.is_empty(), "{} profiles fail\n{}", told.len(), told.join("\n"));
}

/// Whether a run ended as it should: well, or with an error that says this, and what to do.
fn ended(run: &Run, expected: Option<&str>) -> Result<(), String> {
    match expected {
        None if run.code == Some(0) => Ok(()),
        Some(text) if run.code == Some(1) && run.stderr.contains(text) && !run.stderr.contains(PASSWORD) => Ok(()),
        _ => Err(format!("{expected:?} was to be told\n{run}")),
    }
}

/// Whether the image is there, whole and by the one tag; or no tag at all if pushing to such a registry fails.
fn arrived(registry: &PlayedRegistry, profile: &Profile, is_it: impl Fn(&Image) -> bool) -> Result<(), String> {
    let contents = registry.state().repositories.get("shop/web").cloned().unwrap_or_default();
    let expected: &[&str] = if profile.push.is_some() { &[] } else { &["latest"] };
    if !contents.tags.keys().eq(expected) {
        return Err(format!("tags: {:?}, not {expected:?}", contents.tags));
    }
    if profile.push.is_some() {
        return Ok(());
    }
    let folder = tempfile::tempdir().unwrap();
    contents.write_layout("latest", folder.path());
    same(&layout::validate(folder.path())["latest"], is_it)
}

fn same(image: &Image, is_it: impl Fn(&Image) -> bool) -> Result<(), String> {
    if is_it(image) { Ok(()) } else { Err(format!("another image, {}", image.digest)) }
}

#[test]
fn profiles_have_names_of_their_own() {
    let profiles = profiles();
    let names: std::collections::BTreeSet<_> = profiles.iter().map(|profile| profile.name).collect();
    assert_eq!(names.len(), profiles.len());
    assert!(names.len() >= 40, "{}", names.len());
}

#[test]
fn images_are_pushed_to_every_registry() {
    let workspace = workspace().with_noise("apps/web/noise", SIZE);
    let cache = workspace.beside("shared-cache");
    let right = PlayedRegistry::start(Profile::named("for comparison"));
    let local = format!("oci:{BASE}:20-alpine");
    let run = build(&workspace, &right, &cache, &local, &format!("{}/shop", right.host()));
    assert_eq!(run.code, Some(0), "{run}");
    let images = workspace.beside("images");
    right.state().repositories["shop/web"].write_layout("latest", &images);
    // The manifest names the base, and so the registry; the config has the digests of all layers, which are plain tars.
    let config = layout::validate(&images)["latest"].config.clone();
    for_every_profile(|profile| {
        let registry = PlayedRegistry::start(profile.clone());
        registry.hold("base/node", "20", Path::new(BASE));
        let remote = format!("{}/base/node:20", registry.host());
        let base = if profile.pull.is_none() { &remote } else { &local };
        let to = format!("{}/shop", registry.host());
        let run = build(&workspace, &registry, &cache, base, &to);
        ended(&run, profile.push).map_err(|failure| format!("{failure}{:#?}", registry.uploads()))?;
        arrived(&registry, profile, |image| image.config == config)?;
        if profile.push.is_some() {
            return Ok(());
        }
        let brought = |registry: &PlayedRegistry| {
            let brings = |asked: &&Asked| {
                !matches!(asked.method.as_str(), "GET" | "HEAD") && Part::of(&asked.target) != Part::Token
            };
            registry.server.asked().iter().filter(brings).count()
        };
        let before = brought(&registry);
        ended(&build(&workspace, &registry, &cache, base, &to), None)?;
        match brought(&registry) - before {
            0 => Ok(()),
            again => Err(format!("{again} requests more to push what is there")),
        }
    });
}

#[test]
fn images_are_copied_to_every_registry() {
    let workspace = workspace().with_noise("apps/web/noise", SIZE);
    let cache = workspace.beside("shared-cache");
    let right = PlayedRegistry::start(Profile::named("for comparison"));
    let images = workspace.beside("images");
    let to = format!("oci:{}", images.display());
    let run = build(&workspace, &right, &cache, &format!("oci:{BASE}:20-alpine"), &to);
    assert_eq!(run.code, Some(0), "{run}");
    let digest = layout::validate(&images)["web"].digest.clone();
    for_every_profile(|profile| {
        let registry = PlayedRegistry::start(profile.clone());
        let target = format!("{}/shop/web:latest", registry.host());
        let run = pirogue(&workspace, &registry, &cache, &["copy", &format!("{to}:web"), &target]);
        ended(&run, profile.push)?;
        arrived(&registry, profile, |image| image.digest == digest)
    });
}

#[test]
fn bases_are_pulled_from_every_registry() {
    let workspace = workspace();
    let local = PlayedRegistry::start(Profile::named("for comparison"));
    let images = workspace.beside("images");
    let to = format!("oci:{}", images.display());
    let run = build(&workspace, &local, &workspace.beside("a-cache"), &format!("oci:{BASE}:20-alpine"), &to);
    assert_eq!(run.code, Some(0), "{run}");
    let config = layout::validate(&images)["web"].config.clone();
    for_every_profile(|profile| {
        let registry = PlayedRegistry::start(profile.clone());
        registry.hold("base/node", "20", Path::new(BASE));
        let folder = tempfile::tempdir().unwrap();
        let (cache, images) = (folder.path().join("cache"), folder.path().join("images"));
        let (base, to) = (format!("{}/base/node:20", registry.host()), format!("oci:{}", images.display()));
        let run = build(&workspace, &registry, &cache, &base, &to);
        ended(&run, profile.pull)?;
        if profile.pull.is_some() {
            return if images.exists() { Err("images were written".to_owned()) } else { Ok(()) };
        }
        same(&layout::validate(&images)["web"], |image| image.config == config)
    });
}
