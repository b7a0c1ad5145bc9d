//! What a run tells of itself while it works. The library only tells; who listens decides what is shown.

/// Listens to a run.
pub trait Progress: Send + Sync {
    /// A step begins: `packing 12 layers`.
    fn step(&self, text: &str);

    /// Something the user should know: one sentence, no final period.
    fn warn(&self, text: &str);

    /// Something worth knowing that is no sign of a mistake: one sentence, no final period.
    fn note(&self, text: &str);

    /// A task of a known size begins. Its bytes are told to the result until that is dropped.
    fn task(&self, text: &str, total_bytes: u64) -> Box<dyn Task>;

    /// A task begins that is counted in things, such as packages, since nobody knows its bytes.
    fn count(&self, text: &str, total: u64) -> Box<dyn Task>;
}

/// A task of a known size.
pub trait Task: Send + Sync {
    /// This many more bytes, or things, are done.
    fn advance(&self, amount: u64);
}

/// Listens to nothing.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _text: &str) {}

    fn warn(&self, _text: &str) {}

    fn note(&self, _text: &str) {}

    fn task(&self, _text: &str, _total_bytes: u64) -> Box<dyn Task> {
        Box::new(Self)
    }

    fn count(&self, _text: &str, _total: u64) -> Box<dyn Task> {
        Box::new(Self)
    }
}

impl Task for Silent {
    fn advance(&self, _amount: u64) {}
}
