//! The keys of `pirogue.toml` and what they become.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Source, Table};
use super::{
    Allowed, CheckLevel, ConfigError, Engines, ExtraFile, FILE_NAME, Health, Init, PackageSettings, PackagesFrom,
    ServiceSettings, Settings, SystemSettings, UnknownCheckLevel, UnknownPackages,
};
use crate::apk::ApkError;
use crate::image::{HealthCheck, ImageUser, NewUser, TimeZone};
use crate::layer::Owner;
use crate::manifest::media_type::{Compression, UnknownCompression};
use crate::manifest::{Format, UnknownFormat};
use crate::path::ImagePath;

/// Reads a whole document.
pub(super) fn settings(text: &str) -> Result<Settings, ConfigError> {
    let (source, document) = Source::parse(FILE_NAME, text)?;
    let table = Table::new(&source, document.as_table(), String::new());
    let mut settings = Settings {
        services: table.texts("services")?,
        destinations: table.texts("to")?.unwrap_or_default(),
        platforms: platforms(&table)?,
        root: absolute(&table, "root")?,
        compression: compression(&table)?,
        format: format(&table)?,
        layers: layers(&table)?,
        hard_links: table.boolean("hard-links")?,
        packages: packages(&table)?,
        npm_mirror: table.text("npm-mirror")?,
        engines: engines(&table)?,
        package: package(&table)?,
        apk_without_scripts: apk(&table)?,
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
    let (base, system) = base(table)?;
    let (check, allow) = check(table)?;
    Ok(ServiceSettings {
        base,
        system,
        init: init(table)?,
        user: user(table)?,
        ca: table.texts("ca")?,
        time_zone: time_zone(table)?,
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
        keeps_foreign_variants: one_of(table, "foreign-variants", ["keep", "leave-out"])?,
        root_dependencies: table.boolean("root-dependencies")?,
        slim: table.boolean("slim")?,
        trace: table.boolean("trace")?,
        keep: table.texts("keep")?,
        writable: table.texts("writable")?,
        check,
        allow,
        repository: table.text("repository")?,
        tags: command(table, "tags")?,
    })
}

/// `platform` or `platforms`: one, or a list of them.
fn platforms(table: &Table<'_>) -> Result<Vec<String>, ConfigError> {
    let (one, several) = (table.text_or_texts("platform")?, table.text_or_texts("platforms")?);
    match (one, several) {
        (Some(_), Some(_)) => Err(table.problem("platforms", "stands next to `platform`, which says the same")),
        (one, several) => Ok(one.or(several).unwrap_or_default()),
    }
}

/// `base = "node:22-alpine"` or `base = { image = …, packages = […] }`.
fn base(table: &Table<'_>) -> Result<(Option<String>, SystemSettings), ConfigError> {
    let base = table.text_or_table(
        "base",
        |image| Ok((Some(image.to_owned()), SystemSettings::default())),
        |base| {
            let image = base.text("image")?;
            let parse =
                |packages: Vec<String>| packages.iter().map(|package| package.parse()).collect::<Result<_, _>>();
            let packages = base.texts("packages")?.map(parse).transpose();
            let packages =
                packages.map_err(|error: ApkError| base.problem("packages", format!("is wrong: {error}")))?;
            let system =
                SystemSettings { packages, repositories: base.texts("repositories")?, keys: base.texts("keys")? };
            base.finish()?;
            Ok((image, system))
        },
    )?;
    Ok(base.unwrap_or_default())
}

/// `init = "tini"`, `init = "dumb-init"` or `init = { file = …, sha256 = … }`.
fn init(table: &Table<'_>) -> Result<Option<Init>, ConfigError> {
    table.text_or_table(
        "init",
        |name| match name {
            "tini" => Ok(Init::Tini),
            "dumb-init" => Ok(Init::DumbInit),
            _ => Err(table.problem("init", format!("is neither `tini` nor `dumb-init`: `{name}`"))),
        },
        |init| {
            let (file, sha256) = (init.text("file")?, init.text("sha256")?);
            let Some((file, sha256)) = file.zip(sha256) else {
                return Err(table.problem("init", "needs `file` and `sha256`"));
            };
            let digest = format!("sha256:{}", sha256.trim_start_matches("sha256:")).parse();
            let sha256 = digest.map_err(|_| init.problem("sha256", "is not 64 lower-case hexadecimal digits"))?;
            init.finish()?;
            Ok(Init::File { file, sha256 })
        },
    )
}

/// `[apk.NAME]`
fn apk(table: &Table<'_>) -> Result<BTreeSet<String>, ConfigError> {
    let mut without_scripts = BTreeSet::new();
    for (name, own) in table.table("apk")?.map_or(Ok(Vec::new()), |each| each.named_tables())? {
        if only(&own, "install-script", "skip")? {
            without_scripts.insert(name);
        }
        own.finish()?;
    }
    Ok(without_scripts)
}

fn compression(table: &Table<'_>) -> Result<Option<Compression>, ConfigError> {
    let Some(text) = table.text("compression")? else { return Ok(None) };
    text.parse().map(Some).map_err(|error: UnknownCompression| table.problem("compression", error.to_string()))
}

fn format(table: &Table<'_>) -> Result<Option<Format>, ConfigError> {
    let Some(text) = table.text("format")? else { return Ok(None) };
    text.parse().map(Some).map_err(|error: UnknownFormat| table.problem("format", error.to_string()))
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

fn engines(table: &Table<'_>) -> Result<Option<Engines>, ConfigError> {
    let Some(text) = table.text("engines")? else { return Ok(None) };
    match text.as_str() {
        "error" => Ok(Some(Engines::Error)),
        "warn" => Ok(Some(Engines::Warn)),
        "ignore" => Ok(Some(Engines::Ignore)),
        other => Err(table.problem("engines", format!("can only be `error`, `warn` or `ignore`, not `{other}`"))),
    }
}

/// `[package.NAME]`
fn package(table: &Table<'_>) -> Result<BTreeMap<String, PackageSettings>, ConfigError> {
    let mut packages = BTreeMap::new();
    for (name, own) in table.table("package")?.map_or(Ok(Vec::new()), |each| each.named_tables())? {
        let settings = PackageSettings {
            from_installed: only(&own, "from", "installed")?,
            skips_install_script: only(&own, "install-script", "skip")?,
            keeps_native: only(&own, "native", "keep")?,
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

/// Whether a key that can have two values has the first.
fn one_of(table: &Table<'_>, key: &'static str, values: [&str; 2]) -> Result<Option<bool>, ConfigError> {
    match table.text(key)? {
        None => Ok(None),
        Some(text) if values.contains(&text.as_str()) => Ok(Some(text == values[0])),
        Some(text) => Err(table.problem(key, format!("can only be `{}` or `{}`, not `{text}`", values[0], values[1]))),
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
                (Ok(uid), Ok(gid)) if uid < u32::MAX && gid < u32::MAX => Ok(ImageUser::Number(Owner { uid, gid })),
                _ if text.is_empty() || text.contains(':') || text.bytes().all(|byte| byte.is_ascii_digit()) => {
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
            // The greatest number stands for none in system calls.
            let id =
                |key| user.integer(key, u64::from(u32::MAX) - 1).map(|id| id.and_then(|id| u32::try_from(id).ok()));
            new.uid = id("uid")?.unwrap_or(new.uid);
            new.gid = id("gid")?.unwrap_or(new.uid);
            new.home = absolute(&user, "home")?.unwrap_or(new.home);
            new.shell = absolute(&user, "shell")?.unwrap_or(new.shell);
            new.groups = user.texts("groups")?.unwrap_or_default();
            user.finish()?;
            Ok(ImageUser::New(new))
        },
    )
}

fn time_zone(table: &Table<'_>) -> Result<Option<TimeZone>, ConfigError> {
    let Some(name) = table.text("timezone")? else { return Ok(None) };
    let zone = TimeZone::named(&name);
    zone.map(Some).map_err(|error| ConfigError::TimeZone { place: table.place("timezone"), error })
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

/// `health = "/health"` or `health = { path = … }` or `health = { command = […] }`, with times in seconds; or
/// `health = false`.
fn health(table: &Table<'_>) -> Result<Option<Health>, ConfigError> {
    if table.is_false("health") {
        return Ok(Some(Health::Off));
    }
    let default = || HealthCheck::http("node", "/", 0);
    table.text_or_table(
        "health",
        |path| http(table, "health", path.to_owned(), default()),
        |health| {
            let seconds = |key, default| health.integer(key, 86_400).map(|time| time.unwrap_or(default));
            // Docker takes 0 for "not said", and its own default.
            let positive = |key, default| match seconds(key, default)? {
                0 => Err(health.problem(key, "cannot be 0")),
                amount => Ok(amount),
            };
            let times = default();
            let check = HealthCheck {
                command: health.texts("command")?.unwrap_or_default(),
                interval: positive("interval", times.interval)?,
                timeout: positive("timeout", times.timeout)?,
                start_period: seconds("start-period", times.start_period)?,
                retries: positive("retries", times.retries)?,
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
            format = "docker"
            ca = ["corp.pem"]
            timezone = "UTC"
            env = { A = "1", B = 2 }
            [labels]
            "org.opencontainers.image.vendor" = "acme"
            [service.gateway]
            port = 8000
            timezone = "Europe/Paris"
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
        assert_eq!(settings.format, Some(Format::Docker));
        assert_eq!(gateway.ca.unwrap(), ["corp.pem"]);
        assert_eq!(gateway.time_zone.unwrap().name(), "Europe/Paris");
        assert_eq!(settings.of_service("other").time_zone.unwrap().name(), "UTC");
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
    fn what_is_added_to_a_base() {
        let text = r#"
            base = { image = "node:22-alpine", packages = ["curl=8.9.1-r1"], keys = ["a.rsa.pub"] }
            init = "tini"
            [apk.curl]
            install-script = "skip"
            [service.a]
            base.packages = ["tzdata"]
            base.repositories = ["apks"]
            [service.b]
            base = "node:20-alpine"
            init = { file = "bin/init", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
        "#;
        let settings = Settings::parse(text).unwrap();
        let (a, b) = (settings.of_service("a"), settings.of_service("b"));
        let packages = |settings: &ServiceSettings| {
            settings.system.packages.iter().flatten().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            (a.base.as_deref(), packages(&a), a.init),
            (Some("node:22-alpine"), vec!["tzdata".into()], Some(Init::Tini))
        );
        assert_eq!(
            (a.system.repositories.unwrap(), a.system.keys.unwrap()),
            (vec!["apks".to_owned()], vec!["a.rsa.pub".to_owned()])
        );
        assert_eq!((b.base.as_deref(), packages(&b)), (Some("node:20-alpine"), vec!["curl=8.9.1-r1".into()]));
        assert!(matches!(b.init, Some(Init::File { file, .. }) if file == "bin/init"));
        assert!(settings.apk_without_scripts.contains("curl"));
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
            ("wrong type", "base = 3", "`base` has to be a text or a table, not an integer: `pirogue.toml:1:1`", None),
            ("a package that is none", "base.packages = ['curl=']", "`base.packages` is wrong: not the name", None),
            ("a key of base that is none", "base = { imge = 'a' }", "no setting `base.imge`", Some("`image`?")),
            ("an unknown init", "init = 'systemd'", "neither `tini` nor `dumb-init`: `systemd`", None),
            ("an init of unknown bytes", "init = { file = 'a' }", "`init` needs `file` and `sha256`", None),
            ("an init of impossible bytes", "init = { file = 'a', sha256 = 'b' }", "`init.sha256` is not 64", None),
            ("a script that is run", "[apk.a]\ninstall-script = 'run'", "can only be `skip`", None),
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
            (
                "health that is said to be",
                "health = true",
                "`health` has to be a text or a table, not true or false",
                None,
            ),
            ("health without a question", "health = {}", "needs either `path` or `command`", None),
            ("health with a trick", "health = '/${x}'", "`health` is no path", None),
            (
                "health that Docker would read otherwise",
                "health = { path = '/', retries = 0 }",
                "`health.retries` cannot be 0",
                None,
            ),
            ("format", "format = 'v2s2'", "`format` is neither `oci` nor `docker`", None),
            (
                "time zone",
                "timezone = 'Europe/Pairs'",
                "no time zone `Europe/Pairs`: `pirogue.toml:1:1`",
                Some("`Europe/Paris`"),
            ),
            ("a number that is none", "user = { uid = 4294967295 }", "`user.uid` is not between", None),
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
