use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Keeps the number of requests to one host small, and all of them quiet once that host asks for it.
#[derive(Debug)]
pub struct Limiter {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    quiet_until: Option<Instant>,
    /// How many places there are to be.
    places: usize,
    /// How many more there are as long as nobody gives one back.
    surplus: usize,
}

/// A place with a [`Limiter`], until it is dropped.
#[derive(Debug)]
pub struct Place {
    limiter: Arc<Limiter>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Limiter {
    /// Allows so many requests at a time, one at least.
    pub fn new(places: usize) -> Self {
        let places = places.max(1);
        let state = State { quiet_until: None, places, surplus: 0 };
        Self { places: Arc::new(Semaphore::new(places)), state: Mutex::new(state) }
    }

    /// Waits for a place.
    pub async fn enter(self: &Arc<Self>) -> Place {
        // An error only if the semaphore was closed, which nobody does.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        let place = Place { limiter: Arc::clone(self), permit };
        loop {
            let until = self.state().quiet_until;
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return place,
            }
        }
    }

    /// No request of anyone's for `wait`.
    pub fn quiet(&self, wait: Duration) {
        let mut state = self.state();
        state.quiet_until = state.quiet_until.max(Some(Instant::now() + wait));
    }

    /// The same, and half as many at a time from then on: the host said that there were too many. What it says to the
    /// others that were on their way meanwhile is the same word again.
    pub fn slow_down(&self, wait: Duration) {
        let mut state = self.state();
        let now = Instant::now();
        if state.quiet_until.is_none_or(|until| until < now) {
            let fewer = state.places / 2;
            state.places -= fewer;
            state.surplus += fewer;
            state.surplus -= self.places.forget_permits(state.surplus);
        }
        state.quiet_until = state.quiet_until.max(Some(now + wait));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if state.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            state.surplus -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_and_quiet() {
        let limiter = Arc::new(Limiter::new(1));
        let first = limiter.enter().await;
        let second = tokio::time::timeout(Duration::from_millis(20), limiter.enter()).await;
        assert!(second.is_err(), "one place only");
        drop(first);
        limiter.quiet(Duration::from_millis(60));
        let before = Instant::now();
        limiter.enter().await;
        assert!(before.elapsed() >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn places_become_fewer_once_a_burst() {
        let limiter = Arc::new(Limiter::new(4));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(limiter.enter().await);
        }
        let second = Duration::from_secs(1);
        for _ in 0..3 {
            limiter.slow_down(second);
        }
        limiter.state().quiet_until = None;
        let free = |limiter: &Limiter| limiter.places.available_permits();
        assert_eq!(free(&limiter), 0, "the free one is gone, and one of those in use will be");
        held.clear();
        assert_eq!(free(&limiter), 2);
        for expected in [1, 1, 1] {
            limiter.slow_down(second);
            limiter.state().quiet_until = None;
            assert_eq!(free(&limiter), expected, "never none");
        }
    }
}
