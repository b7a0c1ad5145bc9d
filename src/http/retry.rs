//! When and how often a request is tried again.
//!
//! Waiting goes through `tokio::time`, whose clock tests can pause; dates are compared to a `now` that is handed in.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How often a request is tried, and how long to wait in between.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Tries in all, the first one included.
    pub attempts: u32,
    /// The wait after the first failure; each further one doubles it.
    pub first_wait: Duration,
    /// No wait is longer. A registry that asks for a longer one is reported at once.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 6, first_wait: Duration::from_millis(300), longest_wait: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// The wait after `failures` tries (1 or more), for a `jitter` between 0 and 1: half of the wait is fixed, the
    /// other half random, so that clients that failed together do not come back together.
    fn wait(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest_wait).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

/// Counts the tries of one request.
#[derive(Debug)]
pub struct Attempts {
    policy: RetryPolicy,
    failures: u32,
}

impl Attempts {
    /// For a request that may be repeated as often as `policy` says.
    pub fn new(policy: &RetryPolicy) -> Self {
        Self { policy: policy.clone(), failures: 0 }
    }

    /// For a request that must not be repeated as it is.
    pub fn only_one() -> Self {
        Self::new(&RetryPolicy { attempts: 1, ..RetryPolicy::default() })
    }

    /// How long to wait before the next try, or `None` if this was the last one. `asked` is the registry's wish.
    pub fn next_wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= self.policy.attempts || asked.is_some_and(|asked| asked > self.policy.longest_wait) {
            return None;
        }
        Some(self.policy.wait(self.failures, fastrand::f64()).max(asked.unwrap_or_default()))
    }

    /// Progress was made: failures before it no longer count.
    pub fn forget(&mut self) {
        self.failures = 0;
    }
}

/// Whether the same request may succeed later. 499 and 522 are what proxies say for a cut connection.
pub fn is_temporary(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 499) || (status.is_server_error() && !matches!(status.as_u16(), 501 | 505))
}

/// What `Retry-After` asks for: seconds or a date (RFC 9110, section 10.2.3). A date in the past means at once. It is read
/// by the clock of whoever wrote it, if the answer has a `Date`: ours may be minutes off.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let theirs = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let now = theirs.unwrap_or(now);
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Mon, 06 Jul 2026 12:00:00 GMT").unwrap();
        let table = [
            ("seconds", "7", Some(7)),
            ("zero", "0", Some(0)),
            ("date", "Mon, 06 Jul 2026 12:00:30 GMT", Some(30)),
            ("past date", "Mon, 06 Jul 2026 11:00:00 GMT", Some(0)),
            ("negative", "-3", None),
            ("rubbish", "soon", None),
        ];
        for (comment, value, expected) in table {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{comment}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        let ahead = [(DATE, "Mon, 06 Jul 2026 12:05:00 GMT"), (RETRY_AFTER, "Mon, 06 Jul 2026 12:05:02 GMT")];
        let headers = ahead.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect();
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(2)), "by the other's clock");
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let policy =
            RetryPolicy { attempts: 3, first_wait: Duration::from_millis(100), longest_wait: Duration::from_secs(1) };
        let table = [(1, 0.0, 50), (1, 1.0, 100), (2, 1.0, 200), (4, 1.0, 800), (5, 1.0, 1000), (60, 1.0, 1000)];
        for (failures, jitter, expected) in table {
            assert_eq!(policy.wait(failures, jitter), Duration::from_millis(expected), "{failures} {jitter}");
        }
    }

    #[test]
    fn attempts_end() {
        let mut attempts = Attempts::new(&RetryPolicy { attempts: 3, ..RetryPolicy::default() });
        assert!(attempts.next_wait(None).is_some());
        assert!(attempts.next_wait(Some(Duration::from_secs(5))).is_some_and(|wait| wait >= Duration::from_secs(5)));
        assert_eq!(attempts.next_wait(None), None);
        attempts.forget();
        assert_eq!(attempts.next_wait(Some(Duration::from_secs(3600))), None, "longer than anyone waits");
        assert_eq!(Attempts::only_one().next_wait(None), None);
    }
}
