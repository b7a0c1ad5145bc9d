use std::collections::{BTreeMap, BTreeSet};

use super::{EntryPoint, EntryPointError, Member, Workspace, WorkspacePath};

/// A member that runs: one image is built of it.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, which is also that of its image. See [`Workspace::service_names`].
    pub name: String,
    /// The member's directory.
    pub dir: WorkspacePath,
    /// What it starts with.
    pub entry_point: EntryPoint,
}

/// A member that is no service, and why.
#[derive(Clone, Debug)]
pub struct NotAService {
    /// The member's directory.
    pub dir: WorkspacePath,
    /// Why not.
    pub reason: String,
}

impl Workspace {
    /// The name that each member has as a service: that of its directory; where two share it, that of its package without
    /// the scope; where that is taken too, its path with `-` between the names.
    pub fn service_names(&self) -> BTreeMap<WorkspacePath, String> {
        let by_directory = |member: &Member| member.dir.name().to_lowercase();
        let by_package = |member: &Member| {
            let name = member.name();
            let plain = name.rsplit('/').next().unwrap_or_default().to_lowercase();
            // The root's directory has another name on every machine, so it cannot serve.
            if plain.is_empty() { "app".to_owned() } else { plain }
        };
        let by_path = |member: &Member| member.dir.to_string().to_lowercase().replace('/', "-");
        let directories = uses(self.members.iter().map(by_directory));
        let shares_directory = |member: &Member| match by_directory(member) {
            dir if dir.is_empty() => true,
            dir => directories[&dir] > 1,
        };
        let packages = uses(self.members.iter().filter(|member| shares_directory(member)).map(by_package));
        let name = |member: &Member| match by_package(member) {
            _ if !shares_directory(member) => by_directory(member),
            package if packages[&package] == 1 && directories.get(&package).is_none_or(|uses| *uses > 1) => package,
            package if member.dir == WorkspacePath::default() => package,
            _ => by_path(member),
        };
        self.members.iter().map(|member| (member.dir.clone(), name(member))).collect()
    }

    /// The members that are services, and the others with the reason why not.
    ///
    /// A service is a member with an entry point that no other member depends on. A library (a member with `types` or
    /// `exports`, and no start script) is none. `configured` gives the entry point that `pirogue.toml` names for a
    /// service. With `chosen`, only the members in these directories count, and each has to be a service.
    pub fn services(
        &self,
        configured: impl Fn(&str) -> Option<String>,
        chosen: Option<&[WorkspacePath]>,
    ) -> Result<(Vec<Service>, Vec<NotAService>), EntryPointError> {
        let names = self.service_names();
        let depended_on = self.depended_on();
        let mut services = Vec::new();
        let mut others = Vec::new();
        let counts = |member: &&Member| chosen.is_none_or(|dirs| dirs.contains(&member.dir));
        for member in self.members.iter().filter(counts) {
            let name = names.get(&member.dir).cloned().unwrap_or_default();
            let entry_file = configured(&name);
            let certain = entry_file.is_some() || chosen.is_some();
            match self.why_not(member, &depended_on).filter(|_| !certain) {
                Some(reason) => others.push(NotAService { dir: member.dir.clone(), reason }),
                None => match EntryPoint::find(member, &self.on_host(&member.dir), entry_file.as_deref())? {
                    Some(entry_point) => services.push(Service { name, dir: member.dir.clone(), entry_point }),
                    None if certain => {
                        let entry_point = EntryPoint::at_top(&self.on_host(&member.dir))?
                            .ok_or_else(|| EntryPointError::None { member: member.dir.clone() })?;
                        services.push(Service { name, dir: member.dir.clone(), entry_point });
                    }
                    None => {
                        others.push(NotAService { dir: member.dir.clone(), reason: "has no entry point".to_owned() })
                    }
                },
            }
        }
        Ok((services, others))
    }

    /// The names of all members that could be services, whether they are compiled or not: those that grouping into layers
    /// counts with, so that building one alone gives the same image as building all. `configured` is as above.
    pub fn fleet(&self, configured: impl Fn(&str) -> bool) -> BTreeMap<String, WorkspacePath> {
        let depended_on = self.depended_on();
        let names = self.service_names();
        let members = self.members.iter().filter_map(|member| {
            let name = names.get(&member.dir)?.clone();
            (configured(&name) || self.why_not(member, &depended_on).is_none()).then(|| (name, member.dir.clone()))
        });
        members.collect()
    }

    fn depended_on(&self) -> BTreeSet<&str> {
        let edges = self.members.iter().flat_map(|member| {
            let package_json = &member.package_json;
            [
                &package_json.dependencies,
                &package_json.dev_dependencies,
                &package_json.optional_dependencies,
                &package_json.peer_dependencies,
            ]
        });
        edges.flat_map(|edges| edges.keys().map(String::as_str)).collect()
    }

    fn why_not(&self, member: &Member, depended_on: &BTreeSet<&str>) -> Option<String> {
        let package_json = &member.package_json;
        if package_json.name.as_deref().is_some_and(|name| depended_on.contains(name)) {
            return Some("another member depends on it".to_owned());
        }
        let starts = package_json.scripts.keys().any(|script| script.starts_with("start"));
        (package_json.is_library && !starts)
            .then(|| "it is a library: it has `types` or `exports` and no start script".to_owned())
    }
}

/// How often each name is there.
fn uses(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut uses = BTreeMap::new();
    names.for_each(|name| *uses.entry(name).or_default() += 1);
    uses
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::path::HostPath;

    #[test]
    fn a_service_has_one_name_however_few_are_chosen() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("package.json"), r#"{"workspaces":["*/web"]}"#).unwrap();
        for dir in ["shop/web", "team/web"] {
            let package = dir.replace('/', "-");
            fs::create_dir_all(root.path().join(dir)).unwrap();
            let package_json = format!(r#"{{"name":"@acme/{package}","main":"main.js"}}"#);
            fs::write(root.path().join(dir).join("package.json"), package_json).unwrap();
            fs::write(root.path().join(dir).join("main.js"), "").unwrap();
        }
        let workspace = Workspace::discover(&HostPath::new(root.path())).unwrap();
        let names = |chosen: Option<&[WorkspacePath]>| -> Vec<String> {
            let (services, _) = workspace.services(|_| None, chosen).unwrap();
            services.into_iter().map(|service| service.name).collect()
        };
        assert_eq!(names(None), ["shop-web", "team-web"]);
        assert_eq!(names(Some(&[WorkspacePath::new("team/web").unwrap()])), ["team-web"]);
    }
    #[test]
    fn an_index_at_the_top_counts_for_a_service_that_is_named() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("package.json", r#"{"workspaces":["services/*"]}"#);
        for dir in ["bare", "none", "source"] {
            write(&format!("services/{dir}/package.json"), "{}");
        }
        write("services/bare/index.js", "");
        write("services/source/index.js", "");
        let workspace = Workspace::discover(&HostPath::new(root.path())).unwrap();
        assert!(workspace.services(|_| None, None).unwrap().0.is_empty(), "nothing is guessed");
        write("services/source/src/main.ts", "");
        let named = |dir: &str| {
            let found = workspace.services(|_| None, Some(&[WorkspacePath::new(dir).unwrap()]));
            found.map(|(services, _)| services[0].entry_point.file.display().to_string())
        };
        assert_eq!(named("services/bare").unwrap(), "index.js");
        assert!(matches!(named("services/none"), Err(EntryPointError::None { .. })));
        assert!(matches!(named("services/source"), Err(EntryPointError::NotBuilt { .. })));
    }

    #[test]
    fn no_two_services_have_one_name() {
        type Members = &'static [(&'static str, &'static str)];
        let table: [(&str, Members, &[&str]); 5] = [
            ("by directory", &[("apps/api", "@a/x"), ("apps/Web", "@a/y")], &["web", "api"]),
            ("by package", &[("apps/web", "@a/shop"), ("services/web", "@b/web")], &["shop", "web"]),
            ("by path", &[("apps/web", "@a/web"), ("services/web", "@b/web")], &["apps-web", "services-web"]),
            (
                "a package called like another directory",
                &[("apps/api", "x"), ("apps/web", "@a/api"), ("services/web", "@b/web")],
                &["api", "apps-web", "web"],
            ),
            ("the root", &[("", "@a/shop"), ("apps/web", "shop")], &["shop", "web"]),
        ];
        for (comment, members, expected) in table {
            let member = |(dir, name): &(&str, &str)| Member {
                dir: WorkspacePath::new(dir).unwrap(),
                package_json: crate::workspace::PackageJson { name: Some((*name).to_owned()), ..Default::default() },
            };
            let workspace = Workspace {
                root: HostPath::new("/nowhere"),
                package_json: Default::default(),
                package_manager: crate::workspace::PackageManager::Npm,
                members: members.iter().map(member).collect(),
            };
            assert_eq!(workspace.service_names().into_values().collect::<Vec<_>>(), expected, "{comment}");
        }
    }
}
