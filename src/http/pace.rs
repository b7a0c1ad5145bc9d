use std::time::Duration;

use tokio::time::Instant;

/// What has to move within the window, in bytes: nobody means to send less than half a kilobyte a second.
const LEAST: u64 = 64 << 10;

/// Watches a transfer for standing still, or as good as that.
#[derive(Debug)]
pub struct Pace {
    window: Duration,
    position: u64,
    since: Instant,
}

impl Pace {
    /// Of a transfer that begins now. `window` is how long nearly nothing may move, and how long a short one may take.
    pub fn new(window: Duration) -> Self {
        Self { window, position: 0, since: Instant::now() }
    }

    /// How much longer the transfer is waited for, which has come to `position` by now; `None` if no longer.
    pub fn left(&mut self, position: u64) -> Option<Duration> {
        self.left_at(position, Instant::now())
    }

    fn left_at(&mut self, position: u64, now: Instant) -> Option<Duration> {
        if position >= self.position.saturating_add(LEAST) {
            (self.position, self.since) = (position, now);
        }
        self.window.checked_sub(now.saturating_duration_since(self.since)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_not_still() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let (mut position, mut now) = (0, pace.since);
        for (comment, seconds, bytes, expected) in [
            ("the beginning", 0, 0, Some(10)),
            ("nothing yet", 4, 0, Some(6)),
            ("next to nothing", 1, LEAST - 1, Some(5)),
            ("enough", 1, 1, Some(10)),
            ("much", 9, 100 * LEAST, Some(10)),
            ("a trickle", 5, 100, Some(5)),
            ("a trickle for too long", 5, 100, None),
        ] {
            now += Duration::from_secs(seconds);
            position += bytes;
            assert_eq!(pace.left_at(position, now), expected.map(Duration::from_secs), "{comment}");
        }
    }
}
