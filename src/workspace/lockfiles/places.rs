//! Looking a package up as Node does, among places that a lockfile states instead of directories on a disk.

/// The places where a module in `place` finds `name`, nearest first: `node_modules/NAME` of the directory itself and of
/// each one above it.
///
/// Source: Node's documentation, "Modules: CommonJS modules", `NODE_MODULES_PATHS`.
pub(super) fn candidates(place: &str, name: &str) -> impl Iterator<Item = String> {
    let mut above = Some(place);
    std::iter::from_fn(move || {
        loop {
            let dir = above?;
            above = match dir.rfind('/') {
                Some(slash) => Some(&dir[..slash]),
                None if dir.is_empty() => None,
                None => Some(""),
            };
            let is_modules = dir == "node_modules" || dir.ends_with("/node_modules");
            if !is_modules {
                let slash = if dir.is_empty() { "" } else { "/" };
                return Some(format!("{dir}{slash}node_modules/{name}"));
            }
        }
    })
}

/// The name of the package at a place: what follows the last `node_modules`.
pub(super) fn name_at(place: &str) -> Option<&str> {
    let name = match place.rsplit_once("/node_modules/") {
        Some((_, name)) => name,
        None => place.strip_prefix("node_modules/")?,
    };
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_node_walks() {
        let table: [(&str, &str, &[&str]); 4] = [
            ("the root", "", &["node_modules/x"]),
            ("a member", "apps/a", &["apps/a/node_modules/x", "apps/node_modules/x", "node_modules/x"]),
            ("a package", "node_modules/b", &["node_modules/b/node_modules/x", "node_modules/x"]),
            (
                "a package with a scope in a package",
                "node_modules/b/node_modules/@c/d",
                &[
                    "node_modules/b/node_modules/@c/d/node_modules/x",
                    "node_modules/b/node_modules/@c/node_modules/x",
                    "node_modules/b/node_modules/x",
                    "node_modules/x",
                ],
            ),
        ];
        for (comment, place, expected) in table {
            assert_eq!(candidates(place, "x").collect::<Vec<_>>(), expected, "{comment}");
        }
    }

    #[test]
    fn names() {
        let table = [
            ("node_modules/a", Some("a")),
            ("apps/x/node_modules/@a/b", Some("@a/b")),
            ("node_modules/a/node_modules/b", Some("b")),
            ("apps/x", None),
            ("", None),
        ];
        for (place, expected) in table {
            assert_eq!(name_at(place), expected, "{place}");
        }
    }
}
