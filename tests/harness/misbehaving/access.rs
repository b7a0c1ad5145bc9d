use super::server::{Answer, Asked};

/// Who is let in.
pub const USER: &str = "anna";
/// The password of [`USER`].
pub const PASSWORD: &str = "secret";
/// `anna:secret`
pub const BASIC: &str = "Basic YW5uYTpzZWNyZXQ=";

/// Whom a registry lets in.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    /// Everybody.
    Open,
    /// Who shows the password.
    Basic,
    /// Who has a token of the registry's own token service, which gives one for the password.
    Tokens {
        /// What the service answers, with `TOKEN` in the place of the token.
        answer: &'static str,
        /// How many requests a token is good for.
        life: usize,
    },
}

/// The tokens that were asked for, and the requests that were let in with them.
#[derive(Debug, Default)]
pub struct Tokens {
    pub issued: usize,
    served: usize,
}

impl Door {
    /// Tokens that live long, in the usual answer.
    pub fn tokens() -> Self {
        Self::Tokens { answer: r#"{"token":"TOKEN","expires_in":300}"#, life: usize::MAX }
    }

    /// What somebody gets who is not let in; the answer to a request for a token.
    pub fn answer(self, asked: &Asked, tokens: &mut Tokens) -> Option<Answer> {
        let shown = asked.header("authorization");
        match self {
            Self::Open => None,
            Self::Basic if shown == BASIC => None,
            Self::Basic => Some(Answer::new(401).header("WWW-Authenticate", "Basic realm=\"played\"")),
            Self::Tokens { answer, .. } if asked.target.starts_with("/token") => Some(match shown {
                BASIC => {
                    tokens.issued += 1;
                    Answer::new(200).body(answer.replace("TOKEN", &format!("t{}", tokens.issued)))
                }
                _ => Answer::new(401).header("WWW-Authenticate", "Basic realm=\"tokens\""),
            }),
            Self::Tokens { life, .. } => {
                let number = shown.strip_prefix("Bearer t").and_then(|number| number.parse::<usize>().ok());
                if number.is_some_and(|number| number > tokens.served / life && number <= tokens.issued) {
                    tokens.served += 1;
                    return None;
                }
                let realm = format!("Bearer realm=\"http://{}/token\",service=\"played\"", asked.header("host"));
                Some(Answer::new(401).header("WWW-Authenticate", realm))
            }
        }
    }
}
