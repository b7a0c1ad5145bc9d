//! A blob on its way from a registry into the store, which can be read while it comes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Poll;

use tokio::io::AsyncWrite;

use super::{Context, TransferError, blocking};
use crate::manifest::Descriptor;
use crate::path::HostPath;
use crate::registry::{Client, Repository};
use crate::store::NewBlob;

/// Downloads a blob. Gives the store's file, verified while it came.
pub(super) async fn download(
    client: &Client,
    repository: &Repository,
    descriptor: &Descriptor,
    context: &Context,
) -> Result<HostPath, TransferError> {
    let mut sink = Sink { blob: context.store.new_blob_of_known_digest()?, arrived: Arc::default() };
    fill(&mut sink, client, repository, descriptor, context).await?;
    Ok(sink.blob.keep(&descriptor.digest)?)
}

/// The same; `read` gets the bytes while they come. What it makes of them counts only once all have come and are the right
/// ones.
pub(super) async fn download_and_read<T: Send + 'static>(
    client: &Client,
    repository: &Repository,
    descriptor: &Descriptor,
    context: &Context,
    read: impl FnOnce(Box<dyn Read + Send>) -> T + Send + 'static,
) -> Result<T, TransferError> {
    let mut sink = Sink { blob: context.store.new_blob_of_known_digest()?, arrived: Arc::default() };
    let growing = Growing { file: sink.blob.reopen()?, position: 0, arrived: sink.arrived.clone() };
    let end = EndOnDrop(sink.arrived.clone());
    let fill = async {
        let filled = fill(&mut sink, client, repository, descriptor, context).await;
        drop(end);
        filled
    };
    let (filled, read) = tokio::join!(fill, blocking(move || read(Box::new(growing))));
    filled?;
    sink.blob.keep(&descriptor.digest)?;
    read
}

async fn fill(
    sink: &mut Sink,
    client: &Client,
    repository: &Repository,
    descriptor: &Descriptor,
    context: &Context,
) -> Result<(), TransferError> {
    let task = context.progress.task(&format!("fetching {}", descriptor.digest.short()), descriptor.size);
    Ok(client.blob(repository, descriptor, sink, &|bytes| task.advance(bytes)).await?)
}

/// How much of a file has been written, and whether more will come.
#[derive(Default)]
struct Arrived {
    state: Mutex<(u64, bool)>,
    moved: Condvar,
}

impl Arrived {
    fn change(&self, change: impl FnOnce(&mut (u64, bool))) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
    }

    /// Waits until there is more than `position`, or nothing more will come. Gives how much there is.
    fn wait_beyond(&self, position: u64) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 <= position && !state.1 {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.0
    }
}

/// Lets the reader come to an end, however the download ends.
struct EndOnDrop(Arc<Arrived>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.change(|(_, ended)| *ended = true);
    }
}

/// A file that is being written, as its reader sees it.
struct Growing {
    file: File,
    position: u64,
    arrived: Arc<Arrived>,
}

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.arrived.wait_beyond(self.position) - self.position;
        let wanted = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..wanted])?;
        self.position += read as u64;
        Ok(read)
    }
}

/// A blob of the store as the asynchronous sink of a download. Writes to a local file block for too short a time to
/// matter.
struct Sink {
    blob: NewBlob,
    arrived: Arc<Arrived>,
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut std::task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.blob.write(bytes);
        if let Ok(written) = &written {
            self.arrived.change(|(there, _)| *there += *written as u64);
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.blob.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_file_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        let mut writer = File::create(&path).unwrap();
        let arrived = Arc::new(Arrived::default());
        let mut growing = Growing { file: File::open(&path).unwrap(), position: 0, arrived: arrived.clone() };
        let end = EndOnDrop(arrived.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            growing.read_to_end(&mut bytes).map(|_| bytes)
        });
        for part in [&b"one "[..], b"two ", b"three"] {
            writer.write_all(part).unwrap();
            arrived.change(|(there, _)| *there += part.len() as u64);
            std::thread::yield_now();
        }
        drop(end);
        assert_eq!(reader.join().unwrap().unwrap(), b"one two three");
    }
}
