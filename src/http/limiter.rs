use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Keeps the number of requests to one host small, and all of them quiet once that host asks for it.
#[derive(Debug)]
pub struct Limiter {
    places: Arc<Semaphore>,
    quiet_until: Mutex<Option<Instant>>,
}

impl Limiter {
    /// Allows so many requests at a time, one at least.
    pub fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))), quiet_until: Mutex::new(None) }
    }

    /// Waits for a place, which is held until the permit is dropped. `None` only if the limiter was closed, which
    /// nobody does.
    pub async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return permit,
            }
        }
    }

    /// No request of anyone's for `wait`.
    pub fn quiet(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut quiet = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        *quiet = (*quiet).max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_and_quiet() {
        let limiter = Limiter::new(1);
        let first = limiter.enter().await;
        let second = tokio::time::timeout(Duration::from_millis(20), limiter.enter()).await;
        assert!(second.is_err(), "one place only");
        drop(first);
        limiter.quiet(Duration::from_millis(60));
        let before = Instant::now();
        limiter.enter().await;
        assert!(before.elapsed() >= Duration::from_millis(50));
    }
}
