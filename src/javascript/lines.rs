/// Where lines begin.
pub(super) struct Lines(Vec<u32>);

impl Lines {
    /// Of a text.
    pub fn of(source: &str) -> Self {
        let breaks = source.bytes().zip(1_u32..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
        Self(std::iter::once(0).chain(breaks).collect())
    }

    /// The line of a place, counted from 1.
    pub fn at(&self, offset: u32) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}
