use super::super::access::{BASIC, Door};
use super::super::profile::{Part, Profile, Turn};
use super::super::server::Answer;

/// The refresh token that a user may have in place of a password, as `docker login` keeps those of Azure.
pub const IDENTITY: &str = "refresh";
/// `<token>:refresh`
const IDENTITY_AS_PASSWORD: &str = "Basic PHRva2VuPjpyZWZyZXNo";

/// How tokens are told of, and what they have to allow.
pub fn tokens() -> Vec<Profile> {
    let named = Profile::named;
    vec![
        named("challenges-in-one-header").door(Door::tokens()).then(|it, answer| match answer.status() {
            401 if it.part != Part::Token => {
                let one = format!("Negotiate, Basic realm=\"a, Bearer b\", {}, Digest realm=\"c\"", challenge(it));
                answer.without("www-authenticate").header("WWW-Authenticate", one)
            }
            _ => answer,
        }),
        named("challenges-in-many-headers").door(Door::tokens()).then(|it, answer| match answer.status() {
            401 if it.part != Part::Token => answer
                .without("www-authenticate")
                .header("WWW-Authenticate", "Negotiate")
                .header("WWW-Authenticate", "Basic realm=\"played\"")
                .header("WWW-Authenticate", challenge(it)),
            _ => answer,
        }),
        named("insufficient-scope-401").instead(|it| wants_more(it, 401)),
        named("insufficient-scope-403").instead(|it| wants_more(it, 403)),
        named("insufficient-scope-for-ever")
            .instead(|it| match it.part {
                Part::Token => wants_more(it, 403),
                _ => wants_more(it, 403).or_else(|| Some(insufficient(it, 403))),
            })
            .push_fails("the registry denies access")
            .pull_fails("the registry denies access"),
        named("push-scope-first").instead(wants_push_first),
        named("identity-token").instead(|it| takes_identity(it, 200)).identity(),
        named("identity-token-post-400").instead(|it| takes_identity(it, 400)).identity(),
        named("artifactory-identity-token-post-401").instead(|it| takes_identity(it, 401)).identity(),
        named("gcr-identity-token-post-404").instead(|it| takes_identity(it, 404)).identity(),
        named("identity-token-post-405").instead(|it| takes_identity(it, 405)).identity(),
        named("identity-token-that-has-ended")
            .instead(|it| match it.part {
                Part::Token => Some(Answer::new(401)),
                _ => takes_identity(it, 401),
            })
            .identity()
            .push_fails("does not accept the credentials")
            .pull_fails("does not accept the credentials"),
    ]
}

fn challenge(it: &Turn<'_>) -> String {
    format!("Bearer realm=\"http://{}/token\",service=\"played\"", it.asked.header("host"))
}

fn refused(it: &Turn<'_>, status: u16, more: &str) -> Answer {
    Answer::new(status).header("WWW-Authenticate", format!("{}{more}", challenge(it)))
}

fn token(text: &str) -> Answer {
    Answer::new(200).body(format!(r#"{{"token":"{text}","expires_in":300}}"#))
}

/// A registry that takes a token only if it allows to pull from elsewhere too, and says so with this status.
fn wants_more(it: &Turn<'_>, status: u16) -> Option<Answer> {
    match (it.part, it.asked.header("authorization")) {
        (Part::Token, BASIC) if it.asked.target.contains("up%2Fstream") => Some(token("more")),
        (Part::Token, BASIC) => Some(token("less")),
        (Part::Token, _) => Some(Answer::new(401)),
        (_, "Bearer more") => None,
        (_, "Bearer less") => Some(insufficient(it, status)),
        _ => Some(refused(it, 401, "")),
    }
}

fn insufficient(it: &Turn<'_>, status: u16) -> Answer {
    refused(it, status, ",scope=\"repository:up/stream:pull\",error=\"insufficient_scope\"")
}

/// A registry whose token service looks at no scope but the first: what brings something has to ask for that first.
fn wants_push_first(it: &Turn<'_>) -> Option<Answer> {
    let reads = matches!(it.asked.method.as_str(), "GET" | "HEAD");
    match (it.part, it.asked.header("authorization")) {
        (Part::Token, BASIC) => {
            let first = it.asked.target.split(['?', '&']).find(|parameter| parameter.starts_with("scope="));
            Some(token(if first.is_some_and(|scope| scope.contains("push")) { "push" } else { "pull" }))
        }
        (Part::Token, _) => Some(Answer::new(401)),
        (_, "Bearer push") => None,
        (_, "Bearer pull") if reads => None,
        _ => Some(refused(it, 401, "")),
    }
}

/// A registry whose user has an identity token. Its service answers a POST with this status, and takes the same as a
/// password where that is no success.
fn takes_identity(it: &Turn<'_>, status: u16) -> Option<Answer> {
    match (it.part, it.asked.method.as_str(), it.asked.header("authorization")) {
        (Part::Token, "POST", "") if status == 200 => {
            let form = String::from_utf8_lossy(&it.asked.body);
            let grants =
                form.contains("grant_type=refresh_token") && form.contains(&format!("refresh_token={IDENTITY}"));
            Some(if grants { token("granted") } else { Answer::new(401) })
        }
        (Part::Token, "POST", _) => Some(Answer::new(status)),
        (Part::Token, _, IDENTITY_AS_PASSWORD) if status != 200 => Some(token("granted")),
        (Part::Token, ..) => Some(Answer::new(401)),
        (_, _, "Bearer granted") => None,
        _ => Some(refused(it, 401, "")),
    }
}
