//! Habits of registries and of proxies before them, by name. What a name tells is not said again.

mod answers;
mod downloads;
mod tokens;
mod uploads;

pub use tokens::IDENTITY;

use super::profile::Profile;
use super::server::Answer;

const MIB: usize = 1 << 20;

/// All of them. The image that tests push has a layer of more than 8 MiB and small ones; each blob of the base has some
/// hundred bytes at least.
pub fn profiles() -> Vec<Profile> {
    [
        uploads::uploads(),
        uploads::locations(),
        uploads::statuses(),
        uploads::mounts(),
        answers::refusals(),
        answers::overloads(),
        answers::access(),
        tokens::tokens(),
        answers::manifests(),
        downloads::downloads(),
    ]
    .concat()
}

/// A page for people.
fn page(status: u16) -> Answer {
    Answer::new(status).header("Content-Type", "text/html").body("<html>Please log in</html>")
}
