use std::collections::HashSet;
use std::hash::Hash;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Deeply nested expressions, such as the long sums of strings that bundlers write, need a deep stack. Only what is used
/// of it takes memory.
const STACK_BYTES: usize = 256 << 20;

/// Does `work` for each of `items` on all cores, on stacks that are deep enough for the parser. The results are in the
/// order of the items; the error is that of starting a thread.
pub fn on_deep_stacks<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        let mut own = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            own.push((at, work(item)));
        }
        results.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
    };
    run_on_deep_stacks(items.len(), &worker)?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Does `work` for each of `first` and for all that it leads to, each once: it gives a result and what comes next. As
/// [`on_deep_stacks`] does, and nothing waits for others than those that lead to it. The results are in the order of the
/// items.
pub fn follow_on_deep_stacks<T, R>(first: Vec<T>, work: impl Fn(&T) -> (R, Vec<T>) + Sync) -> io::Result<Vec<(T, R)>>
where
    T: Clone + Eq + Hash + Ord + Send,
    R: Send,
{
    let way = Way { open: Mutex::default(), changed: Condvar::new() };
    way.open().add(first);
    let results = Mutex::new(Vec::new());
    let worker = || {
        let mut own = Vec::new();
        while let Some(mut step) = way.step() {
            let (result, next) = work(&step.item);
            step.next = next;
            own.push((step.item.clone(), result));
        }
        results.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
    };
    let threads = if way.open().items.is_empty() { 0 } else { rayon::current_num_threads() };
    run_on_deep_stacks(threads, &worker)?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(results)
}

/// What is still to be done of a walk.
struct Way<T> {
    open: Mutex<Open<T>>,
    /// There is more to do, or nothing will come any more.
    changed: Condvar,
}

struct Open<T> {
    items: Vec<T>,
    met: HashSet<T>,
    /// How many items are worked on, each of which may lead to others.
    begun: usize,
}

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self { items: Vec::new(), met: HashSet::new(), begun: 0 }
    }
}

impl<T: Clone + Eq + Hash> Open<T> {
    fn add(&mut self, items: Vec<T>) {
        for item in items {
            if self.met.insert(item.clone()) {
                self.items.push(item);
            }
        }
    }
}

impl<T: Clone + Eq + Hash> Way<T> {
    fn open(&self) -> MutexGuard<'_, Open<T>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item, once there is one; `None` at the end.
    fn step(&self) -> Option<Step<'_, T>> {
        let mut open = self.open();
        loop {
            if let Some(item) = open.items.pop() {
                open.begun += 1;
                return Some(Step { way: self, item, next: Vec::new() });
            }
            if open.begun == 0 {
                return None;
            }
            open = self.changed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// An item that is worked on. However that ends, nobody goes on to wait for it.
struct Step<'a, T: Clone + Eq + Hash> {
    way: &'a Way<T>,
    item: T,
    next: Vec<T>,
}

impl<T: Clone + Eq + Hash> Drop for Step<'_, T> {
    fn drop(&mut self) {
        let mut open = self.way.open();
        open.add(std::mem::take(&mut self.next));
        open.begun -= 1;
        self.way.changed.notify_all();
    }
}

/// Runs a worker on so many threads, but on no more than there are cores.
fn run_on_deep_stacks(most: usize, worker: &(impl Fn() + Sync)) -> io::Result<()> {
    thread::scope(|scope| {
        let mut started = Vec::new();
        for _ in 0..rayon::current_num_threads().min(most) {
            started.push(thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, worker)?);
        }
        for thread in started {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_meets_everything_once() {
        let twice_and_next = |number: &u32| (number + 1, vec![number * 2, number * 2 + 1, number / 2]);
        let within = |number: &u32| {
            let (result, mut next) = twice_and_next(number);
            next.retain(|next| *next < 1000);
            (result, next)
        };
        let walked = follow_on_deep_stacks(vec![3, 3, 1], within).unwrap();
        assert_eq!(walked, (0..1000).map(|number| (number, number + 1)).collect::<Vec<_>>());
        assert_eq!(follow_on_deep_stacks(Vec::new(), within).unwrap(), []);
    }

    #[test]
    fn a_panic_ends_a_walk() {
        let work = |number: &u32| {
            assert!(*number < 50, "as is meant");
            ((), vec![number + 1, number + 7])
        };
        assert!(std::panic::catch_unwind(|| follow_on_deep_stacks(vec![0], work)).is_err());
    }
}
