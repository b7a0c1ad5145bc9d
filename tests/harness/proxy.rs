use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;

use super::misbehaving::{Answer, Asked, Misbehaving};
use super::registry::Registry;

/// A proxy before the registry at `host` that lets no body through with more than `limit` bytes.
pub fn with_limit(host: &str, limit: usize) -> Misbehaving {
    let host = host.to_owned();
    Misbehaving::start(move |asked| match asked.body.len() > limit {
        true => Answer::new(413).body("<html><center><h1>413 Request Entity Too Large</h1></center></html>"),
        false => forwarded(&host, asked),
    })
}

/// A proxy before the registry at `host` over which connections break in the middle of bodies, after as many bytes of
/// one after another as `cuts` say.
pub fn with_cuts(host: &str, cuts: &[usize]) -> Misbehaving {
    let host = host.to_owned();
    let cuts = Mutex::new(VecDeque::from(cuts.to_vec()));
    let cut = move |_: &Asked, size: usize| {
        let mut cuts = cuts.lock().expect("no test thread panics here");
        cuts.pop_front_if(|at| *at < size)
    };
    Misbehaving::start_with_cuts(cut, move |asked| forwarded(&host, asked))
}

/// A proxy before a registry that is started again each time a body has come as far as the next of `cuts` says; what was
/// on its way then is lost.
pub fn with_restarts(registry: Registry, cuts: &[usize]) -> Misbehaving {
    let host = registry.host().to_owned();
    let (cuts, registry) = (Mutex::new(VecDeque::from(cuts.to_vec())), Mutex::new(registry));
    let cut = move |_: &Asked, size: usize| {
        let mut cuts = cuts.lock().expect("no test thread panics here");
        cuts.pop_front_if(|at| *at < size)
    };
    Misbehaving::start_with_cuts(cut, move |asked| {
        let answer = forwarded(&host, asked);
        if asked.cut {
            registry.lock().expect("no test thread panics here").restart();
        }
        answer
    })
}

/// The answer of the registry, none if it is not there. It is told the name that the client knows, so that it leads back to the proxy.
fn forwarded(host: &str, asked: &Asked) -> Answer {
    let Ok(mut stream) = TcpStream::connect(host) else { return Answer::none() };
    let mut head = format!("{} HTTP/1.1\r\nconnection: close\r\n", asked.line());
    for (name, value) in asked.headers.iter().filter(|(name, _)| *name != "connection") {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = Vec::new();
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&asked.body));
    if asked.cut || sent.and_then(|()| stream.read_to_end(&mut bytes)).is_err() {
        return Answer::none();
    }
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Answer::none() };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let answer = Answer::new(status.expect("an answer has a status")).body(&bytes[end + 4..]);
    lines.filter_map(|line| line.split_once(": ")).filter(|(name, _)| !name.eq_ignore_ascii_case("connection")).fold(
        answer,
        |answer, (name, value)| {
            assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "the registry says the size of what it sends");
            answer.header(name, value)
        },
    )
}
