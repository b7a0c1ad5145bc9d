use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
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
    thread::scope(|scope| {
        let mut started = Vec::new();
        for _ in 0..rayon::current_num_threads().min(items.len()) {
            started.push(thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, worker)?);
        }
        for thread in started {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        Ok::<(), io::Error>(())
    })?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
