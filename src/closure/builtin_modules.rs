/// The modules that Node brings along and that code may import without the prefix `node:`.
/// Source: `require('node:module').builtinModules` of Node 20 and 22.
const BUILTIN_MODULES: [&str; 42] = [
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// The package that a specifier names: `@scope/name` of `@scope/name/deep/file`. `None` for files, builtin modules,
/// subpath imports (`#name`) and URLs.
/// Source: Node's documentation, "Modules: ECMAScript modules", PACKAGE_RESOLVE.
pub fn package_of(specifier: &str) -> Option<String> {
    if specifier.is_empty() || specifier.starts_with(['.', '/', '#', '\\']) || specifier.contains(':') {
        return None;
    }
    let mut segments = specifier.split('/');
    let first = segments.next()?;
    if BUILTIN_MODULES.contains(&first) {
        return None;
    }
    let is_name = |name: &str| !name.is_empty() && !name.contains([' ', '%', '\\', '*', '?', '"', '\'', '\0']);
    match first.strip_prefix('@') {
        Some(scope) => {
            let name = segments.next()?;
            (is_name(scope) && is_name(name)).then(|| format!("{first}/{name}"))
        }
        None => is_name(first).then(|| first.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_specifiers() {
        let table = [
            ("express", Some("express")),
            ("express/lib/router", Some("express")),
            ("@nestjs/common", Some("@nestjs/common")),
            ("@nestjs/common/pipes", Some("@nestjs/common")),
            ("@nestjs", None),
            ("./a", None),
            ("../a", None),
            ("/a", None),
            ("#internal", None),
            ("node:fs", None),
            ("fs", None),
            ("fs/promises", None),
            ("worker_threads", None),
            ("https://example.com/a.js", None),
            ("file:///a.js", None),
            ("", None),
            ("a b", None),
        ];
        for (specifier, expected) in table {
            assert_eq!(package_of(specifier).as_deref(), expected, "{specifier}");
        }
    }
}
