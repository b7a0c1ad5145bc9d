//! The keys of `pirogue.toml` and what they become.

use std::collections::BTreeMap;

use super::document::{Source, Table};
use super::{
    Allowed, CheckLevel, ConfigError, ExtraFile, FILE_NAME, Health, PackageSettings, PackagesFrom, ServiceSettings,
    Settings, UnknownCheckLevel, UnknownPackages,
};
use crate::image::{HealthCheck, ImageUser, NewUser};
use crate::layer::Owner;
use crate::manifest::media_type::{Compression, UnknownCompression};
use crate::path::ImagePath;

/// Reads a whole document.
pub(super) fn settings(text: &str) -> Result<Settings, ConfigError> {
    let (source, document) = Source::parse(FILE_NAME, text)?;
    let table = Table::new(&source, document.as_table(), String::new());
    let mut settings = Settings {
        services: table.texts("services")?,
        destinations: table.texts("to")?.unwrap_or_default(),
        platform: table.text("platform")?,
        root: absolute(&table, "root")?,
        compression: compression(&table)?,
        layers: layers(&table)?,
        hard_links: table.boolean("hard-links")?,
        packages: packages(&table)?,
        npm_mirror: table.text("npm-mirror")?,
        package: package(&table)?,
        all: service(&table)?,
        ..Settings::default()
    };
    if let Some(each) = table.table("service")? {
        for (name, own) in each.named_tables()? {
            let place = each.place(&name);
            let own_settings = service(&own)?;
            own.finish()?;
            settings.each.insert(name, (place, own_settings));
        }
    }
    table.finish()?;
    Ok(settings)
}

/// Reads the keys that hold for a service, or for all.
fn service(table: &Table<'_>) -> Result<ServiceSettings, ConfigError> {
    let (check, allow) = check(table)?;
    Ok(ServiceSettings {
        base: table.text("base")?,
        user: user(table)?,
        port: port(table)?,
        env: table.texts_by_name("env")?,
        entry_point: table.text("entry-point")?,
        command: command(table, "command")?,
        entrypoint: table.texts("entrypoint")?,
        workdir: absolute(table, "workdir")?,
        expose: expose(table)?,
        labels: table.texts_by_name("labels")?,
        health: health(table)?,
        files: files(table)?,
        include: table.texts("include")?,
        exclude: table.texts("exclude")?,
        root_dependencies: table.boolean("root-dependencies")?,
        writable: table.texts("writable")?,
        check,
        allow,
        repository: table.text("repository")?,
        tags: command(table, "tags")?,
    })
}

fn compression(table: &Table<'_>) -> Result<Option<Compression>, ConfigError> {
    let Some(text) = table.text("compression")? else { return Ok(None) };
    text.parse().map(Some).map_err(|error: UnknownCompression| table.problem("compression", error.to_string()))
}

fn packages(table: &Table<'_>) -> Result<Option<PackagesFrom>, ConfigError> {
    let Some(text) = table.text("packages")? else { return Ok(None) };
    text.parse().map(Some).map_err(|error: UnknownPackages| table.problem("packages", error.to_string()))
}

/// `check = "warn"`, or `check = { level = …, allow = [{ path = …, code = …, reason = … }] }`.
fn check(table: &Table<'_>) -> Result<(Option<CheckLevel>, Vec<Allowed>), ConfigError> {
    let level = |table: &Table<'_>, key, text: &str| {
        text.parse().map_err(|error: UnknownCheckLevel| table.problem(key, error.to_string()))
    };
    let read = table.text_or_table(
        "check",
        |text| Ok((Some(level(table, "check", text)?), Vec::new())),
        |check| {
            let text = check.text("level")?;
            let of_text = text.map(|text| level(&check, "level", &text)).transpose()?;
            let allow = allow(&check)?;
            check.finish()?;
            Ok((of_text, allow))
        },
    )?;
    Ok(read.unwrap_or_default())
}

/// What is accepted, each with its reason.
fn allow(table: &Table<'_>) -> Result<Vec<Allowed>, ConfigError> {
    let place = table.place("allow");
    let mut allowed = Vec::new();
    for entry in table.tables("allow")?.unwrap_or_default() {
        let (path, code, reason) = (entry.text("path")?, entry.text("code")?, entry.text("reason")?);
        entry.finish()?;
        match (path, code, reason.filter(|reason| !reason.trim().is_empty())) {
            (Some(path), Some(code), Some(reason)) => {
                allowed.push(Allowed { path, code, reason, place: place.clone() })
            }
            _ => return Err(table.problem("allow", "needs `path`, `code` and `reason` in every entry")),
        }
    }
    Ok(allowed)
}

/// `[package.NAME]`
fn package(table: &Table<'_>) -> Result<BTreeMap<String, PackageSettings>, ConfigError> {
    let mut packages = BTreeMap::new();
    for (name, own) in table.table("package")?.map_or(Ok(Vec::new()), |each| each.named_tables())? {
        let settings = PackageSettings {
            from_installed: only(&own, "from", "installed")?,
            skips_install_script: only(&own, "install-script", "skip")?,
        };
        own.finish()?;
        packages.insert(name, settings);
    }
    Ok(packages)
}

/// Whether a key is there, which can have one value only.
fn only(table: &Table<'_>, key: &'static str, value: &str) -> Result<bool, ConfigError> {
    match table.text(key)? {
        None => Ok(false),
        Some(text) if text == value => Ok(true),
        Some(text) => Err(table.problem(key, format!("can only be `{value}`, not `{text}`"))),
    }
}

/// At least four: one for the user, one for packages, one for workspace packages, one for the application. At most a
/// hundred, for runtimes refuse images of more than 127 layers.
fn layers(table: &Table<'_>) -> Result<Option<usize>, ConfigError> {
    match table.integer("layers", 100)? {
        Some(layers) if layers < 4 => Err(table.problem("layers", "is not between 4 and 100")),
        layers => Ok(layers.and_then(|layers| usize::try_from(layers).ok())),
    }
}

fn absolute(table: &Table<'_>, key: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(text) = table.text(key)? else { return Ok(None) };
    match ImagePath::new(&text) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(table.problem(key, format!("is no path in an image ({error})"))),
    }
}

fn port(table: &Table<'_>) -> Result<Option<u16>, ConfigError> {
    match table.integer("port", u16::MAX.into())? {
        Some(0) => Err(table.problem("port", "cannot be 0")),
        port => Ok(port.and_then(|port| u16::try_from(port).ok())),
    }
}

/// A list of texts that must not be empty.
fn command(table: &Table<'_>, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
    match table.texts(key)? {
        Some(words) if words.is_empty() => Err(table.problem(key, "is empty")),
        words => Ok(words),
    }
}

/// `user = "node"`, `user = "1000"`, `user = "1000:1000"` or `user = { name = …, uid = … }`.
fn user(table: &Table<'_>) -> Result<Option<ImageUser>, ConfigError> {
    table.text_or_table(
        "user",
        |text| {
            let (uid, gid) = text.split_once(':').unwrap_or((text, text));
            match (uid.parse(), gid.parse()) {
                (Ok(uid), Ok(gid)) => Ok(ImageUser::Number(Owner { uid, gid })),
                _ if text.is_empty() || text.contains(':') => {
                    Err(table.problem("user", "is neither a name, `uid`, nor `uid:gid`"))
                }
                _ => Ok(ImageUser::Existing(text.to_owned())),
            }
        },
        |user| {
            let ImageUser::New(mut new) = ImageUser::default() else { return Ok(ImageUser::default()) };
            if let Some(name) = user.text("name")? {
                new = NewUser { home: format!("/home/{name}"), name, ..new };
            }
            let id = |key| user.integer(key, u32::MAX.into()).map(|id| id.and_then(|id| u32::try_from(id).ok()));
            new.uid = id("uid")?.unwrap_or(new.uid);
            new.gid = id("gid")?.unwrap_or(new.uid);
            new.home = absolute(&user, "home")?.unwrap_or(new.home);
            new.shell = absolute(&user, "shell")?.unwrap_or(new.shell);
            user.finish()?;
            Ok(ImageUser::New(new))
        },
    )
}

/// Ports as the image config writes them: `8000` becomes `8000/tcp`.
fn expose(table: &Table<'_>) -> Result<Option<Vec<String>>, ConfigError> {
    let Some(ports) = table.texts_or_integers("expose")? else { return Ok(None) };
    let normal = |port: &String| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        match (number.parse::<u16>(), protocol) {
            (Ok(number), "tcp" | "udp" | "sctp") if number != 0 => Ok(format!("{number}/{protocol}")),
            _ => Err(table.problem("expose", format!("has an entry that is no port (`8000`, `53/udp`): `{port}`"))),
        }
    };
    ports.iter().map(normal).collect::<Result<_, _>>().map(Some)
}

/// `health = "/health"` or `health = { path = … }` or `health = { command = […] }`, with times in seconds.
fn health(table: &Table<'_>) -> Result<Option<Health>, ConfigError> {
    let default = || HealthCheck::http("/", 0);
    table.text_or_table(
        "health",
        |path| http(table, "health", path.to_owned(), default()),
        |health| {
            let seconds = |key, default| health.integer(key, 86_400).map(|time| time.unwrap_or(default));
            let times = default();
            let check = HealthCheck {
                command: health.texts("command")?.unwrap_or_default(),
                interval: seconds("interval", times.interval)?,
                timeout: seconds("timeout", times.timeout)?,
                start_period: seconds("start-period", times.start_period)?,
                retries: seconds("retries", times.retries)?,
            };
            let made = match (health.text("path")?, check.command.is_empty()) {
                (Some(path), true) => http(&health, "path", path, check)?,
                (None, false) => Health::Command(check),
                _ => return Err(table.problem("health", "needs either `path` or `command`")),
            };
            health.finish()?;
            Ok(made)
        },
    )
}

fn http(table: &Table<'_>, key: &str, path: String, check: HealthCheck) -> Result<Health, ConfigError> {
    // The path stands in a template literal of the check's own script.
    if !path.starts_with('/') || path.contains(['`', '$', '\\', '\n', '\r']) {
        return Err(table.problem(key, "is no path such as `/health`"));
    }
    Ok(Health::Http(path, check))
}

fn files(table: &Table<'_>) -> Result<Option<Vec<ExtraFile>>, ConfigError> {
    let Some(tables) = table.tables("files")? else { return Ok(None) };
    let mut files = Vec::new();
    for file in tables {
        let (from, to) = (file.text("from")?, file.text("to")?);
        file.finish()?;
        match (from, to) {
            (Some(from), Some(to)) => files.push(ExtraFile { from, to }),
            _ => return Err(table.problem("files", "needs `from` and `to` in every entry")),
        }
    }
    Ok(Some(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_said() {
        let text = r#"
            base = "node:22-alpine"
            to = ["oci:images"]
            services = ["apps/*"]
            root = "/srv"
            expose = [9090, "53/udp"]
            env = { A = "1", B = 2 }
            [labels]
            "org.opencontainers.image.vendor" = "acme"
            [service.gateway]
            port = 8000
            user = { name = "app", uid = 2000 }
            env.B = "3"
            health = { path = "/health", interval = 10 }
            [[service.gateway.files]]
            from = "certs/ca.pem"
            to = "/etc/ca.pem"
        "#;
        let settings = Settings::parse(text).unwrap();
        let gateway = settings.of_service("gateway");
        assert_eq!(gateway.base.as_deref(), Some("node:22-alpine"));
        assert_eq!(gateway.port, Some(8000));
        assert_eq!(gateway.env.into_iter().collect::<Vec<_>>(), [("A".into(), "1".into()), ("B".into(), "3".into())]);
        assert_eq!(gateway.expose.unwrap(), ["9090/tcp", "53/udp"]);
        let Some(ImageUser::New(user)) = gateway.user else { panic!() };
        assert_eq!((user.uid, user.gid, user.home.as_str()), (2000, 2000, "/home/app"));
        let Some(Health::Http(path, check)) = gateway.health else { panic!() };
        assert_eq!((path.as_str(), check.interval, check.retries), ("/health", 10, 3));
        assert_eq!(gateway.files.unwrap().len(), 1);
        assert_eq!(settings.of_service("other").port, None);
    }

    #[test]
    fn errors_have_a_place_and_a_hint() {
        let table = [
            ("unknown", "bsae = 'x'", "no setting `bsae`: `pirogue.toml:1:1`", Some("did you mean `base`?")),
            (
                "unknown in a service",
                "\n[service.a]\nprot = 1",
                "no setting `service.a.prot`: `pirogue.toml:3:1`",
                Some("did you mean `port`?"),
            ),
            ("far from everything", "zzzzzzzzzzzzzzzz = 1", "no setting", Some("there are: `services`")),
            ("wrong type", "base = 3", "`base` has to be a text, not an integer: `pirogue.toml:1:1`", None),
            (
                "wrong type in a list",
                "\nto = [1]",
                "`to` has to be a list of texts, not a list: `pirogue.toml:2:1`",
                None,
            ),
            ("port out of range", "port = 70000", "`port` is not between 0 and 65535", None),
            ("no TOML", "base = ", "`pirogue.toml:1:", None),
            ("twice", "base = 'a'\nbase = 'b'", "`pirogue.toml:2:", None),
            ("relative directory", "workdir = 'app'", "`workdir` is no path in an image", None),
            ("user", "user = 'a:b'", "`user` is neither a name", None),
            ("empty command", "command = []", "`command` is empty", None),
            ("health without a question", "health = {}", "needs either `path` or `command`", None),
            ("health with a trick", "health = '/${x}'", "`health` is no path", None),
            ("a file without a target", "[[files]]\nfrom = 'a'", "needs `from` and `to`", None),
            ("port that is none", "expose = ['x']", "is no port", None),
        ];
        for (comment, text, expected, hint) in table {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{comment}: {error}");
            let found = error.hint().unwrap_or_default();
            assert!(hint.is_none_or(|hint| found.contains(hint)), "{comment}: {found}");
        }
    }

    #[test]
    fn configured_services_have_to_exist() {
        let settings = Settings::parse("\n[service.gatway]\nport = 1").unwrap();
        let error = settings.refuse_unknown_services(&["gateway".into()]).unwrap_err();
        assert!(error.to_string().ends_with("`gatway` to configure: `pirogue.toml:2:10`"), "{error}");
        assert_eq!(error.hint().unwrap(), "did you mean `gateway`?");
    }
}
