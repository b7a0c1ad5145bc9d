use std::io::{self, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, Take};

use super::RegistryError;

const PIECE: usize = 256 << 10;

/// The body of a request. It can be sent any number of times: a retry or a fresh token begins at its first byte.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// The bytes from `start` up to `end` of a file on disk of a known size.
    File { path: Arc<Path>, size: u64, start: u64, end: u64 },
}

impl Body {
    /// How many bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { start, end, .. } => end.saturating_sub(*start),
        }
    }

    /// Where in its file it begins.
    pub(super) fn start(&self) -> u64 {
        match self {
            Self::Empty | Self::Bytes(_) => 0,
            Self::File { start, .. } => *start,
        }
    }

    /// The body for one sending, which counts in `sent` what the connection has taken of it.
    pub(super) async fn open(&self, sent: &Arc<AtomicU64>) -> Result<reqwest::Body, RegistryError> {
        let (path, size, start) = match self {
            Self::Empty => return Ok(reqwest::Body::from(Bytes::new())),
            Self::Bytes(bytes) => return Ok(reqwest::Body::from(bytes.clone())),
            Self::File { path, size, start, .. } => (path, *size, *start),
        };
        let mut file = File::open(path).await.map_err(|error| RegistryError::source(path, error))?;
        let found = file.metadata().await.map_err(|error| RegistryError::source(path, error))?.len();
        if found != size {
            return Err(RegistryError::source(path, format_args!("{found} bytes, not {size}")));
        }
        if start > 0 {
            file.seek(SeekFrom::Start(start)).await.map_err(|error| RegistryError::source(path, error))?;
        }
        let pieces = stream::try_unfold((file.take(self.size()), Arc::clone(sent)), next_piece);
        Ok(reqwest::Body::wrap_stream(pieces))
    }
}

type Reading = (Take<File>, Arc<AtomicU64>);

async fn next_piece((mut file, sent): Reading) -> io::Result<Option<(Bytes, Reading)>> {
    let mut piece = BytesMut::with_capacity(PIECE.min(usize::try_from(file.limit()).unwrap_or(PIECE)));
    if file.limit() == 0 {
        return Ok(None);
    }
    if file.read_buf(&mut piece).await? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
    }
    sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
    Ok(Some((piece.freeze(), (file, sent))))
}

/// Tells a caller how far a transfer is. What a second try sends again is not told again, so that the pieces add up to
/// the size at most.
pub(super) struct Meter<'a> {
    reached: AtomicU64,
    position: AtomicU64,
    on_bytes: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Meter<'a> {
    pub(super) fn new(on_bytes: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self { reached: AtomicU64::new(0), position: AtomicU64::new(0), on_bytes }
    }

    /// A request begins to send at this position.
    pub(super) fn begin(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// How far the last request came that sent something.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// The transfer has come to this position.
    pub(super) fn reach(&self, position: u64) {
        self.position.fetch_max(position, Ordering::Relaxed);
        let before = self.reached.fetch_max(position, Ordering::Relaxed);
        if position > before {
            (self.on_bytes)(position - before);
        }
    }
}
