//! Where in the store's blobs the pieces of fragments lie, so that a piece is compressed once. No byte of a piece is kept
//! twice for that: each layer's blob has a table of its pieces beside it.
//!
//! ```text
//! pieces/HEX           the table of the blob with this digest: records of 88 bytes, all numbers little endian
//!                      key of the fragment (32), number of the piece (8), offset (8), length (8),
//!                      digest of the piece's bytes in the blob (32)
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Store, StoreError, persist};
use crate::digest::Digest;
use crate::layer::{FragmentKey, PackedPiece};
use crate::path::HostPath;

const RECORD: usize = 88;

/// A piece no table of ours describes as larger: what is larger is damaged.
const LONGEST_PIECE: u64 = 8 << 20;

/// All pieces that the store's blobs hold. Read from the tables when the first piece is asked for.
pub struct KnownPieces {
    store: Store,
    places: Mutex<Option<HashMap<(FragmentKey, u64), Place>>>,
}

#[derive(Clone, Copy)]
struct Place {
    blob: Digest,
    offset: u64,
    length: u64,
    digest: Digest,
}

impl Store {
    /// Writes down which pieces a blob holds.
    pub fn put_pieces(&self, blob: &Digest, pieces: &[PackedPiece]) -> Result<(), StoreError> {
        let mut table = Vec::with_capacity(pieces.len() * RECORD);
        for piece in pieces {
            table.extend(piece.fragment.as_bytes());
            table.extend(piece.number.to_le_bytes());
            table.extend(piece.offset.to_le_bytes());
            table.extend(piece.length.to_le_bytes());
            table.extend(piece.digest.as_bytes());
        }
        self.write_named(&self.dir.join("pieces").join(blob.hex()), &[&table])
    }

    /// The pieces that the store's blobs hold.
    pub fn known_pieces(&self) -> KnownPieces {
        KnownPieces { store: self.clone(), places: Mutex::new(None) }
    }

    pub(super) fn write_named(&self, path: &HostPath, parts: &[&[u8]]) -> Result<(), StoreError> {
        use std::io::Write as _;
        let mut blob = self.new_blob_of_known_digest()?;
        for part in parts {
            blob.write_all(part).map_err(|source| StoreError::new("write to", path, source))?;
        }
        persist(blob.file, path)
    }
}

impl KnownPieces {
    /// Adds the pieces of a blob that came into the store just now.
    pub fn add(&self, blob: &Digest, pieces: &[PackedPiece]) {
        if let Some(places) = self.lock().as_mut() {
            for piece in pieces {
                let PackedPiece { offset, length, digest, .. } = *piece;
                let place = Place { blob: *blob, offset, length, digest };
                places.insert((piece.fragment, piece.number), place);
            }
        }
    }

    /// Puts the compressed bytes of a piece, not verified, into `bytes`, and gives the digest they should have. Whatever
    /// cannot be read counts as absent: the piece is made anew then.
    pub fn read(&self, fragment: &FragmentKey, number: u64, bytes: &mut Vec<u8>) -> Option<Digest> {
        let place = {
            let mut places = self.lock();
            let places = places.get_or_insert_with(|| self.read_tables());
            *places.get(&(*fragment, number))?
        };
        let file = File::open(self.store.blob_path(&place.blob)).ok()?;
        bytes.resize(usize::try_from(place.length).ok()?, 0);
        file.read_exact_at(bytes, place.offset).ok()?;
        Some(place.digest)
    }

    fn read_tables(&self) -> HashMap<(FragmentKey, u64), Place> {
        let mut places = HashMap::new();
        let Ok(tables) = fs::read_dir(self.store.dir.join("pieces")) else { return places };
        for table in tables.flatten() {
            let name = table.file_name();
            let blob = name.to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            if let (Some(blob), Ok(bytes)) = (blob, fs::read(table.path())) {
                places.extend(bytes.chunks_exact(RECORD).filter_map(|record| read_record(blob, record)));
            }
        }
        places
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<(FragmentKey, u64), Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_record(blob: Digest, record: &[u8]) -> Option<((FragmentKey, u64), Place)> {
    let (key, numbers) = record.split_first_chunk::<32>()?;
    let number = |at: usize| Some(u64::from_le_bytes(*numbers.get(at..)?.first_chunk::<8>()?));
    let digest = Digest::from_bytes(*numbers.last_chunk()?);
    let place = Place { blob, offset: number(8)?, length: number(16)?, digest };
    (place.length <= LONGEST_PIECE).then_some(((FragmentKey::from_bytes(*key), number(0)?), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_in_blobs_and_survive_their_loss() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&HostPath::new(dir.path())).unwrap();
        let blob = store.put(b"0123456789").unwrap();
        let digest = Digest::of(b"0123456789");
        let fragment = FragmentKey::from_bytes([7; 32]);
        let piece = PackedPiece { fragment, number: 1, offset: 2, length: 3, digest: Digest::of(b"234") };
        store.put_pieces(&digest, &[piece]).unwrap();
        let known = store.known_pieces();
        let mut bytes = Vec::new();
        assert_eq!(known.read(&fragment, 1, &mut bytes), Some(piece.digest));
        assert_eq!(bytes, b"234");
        assert_eq!(known.read(&fragment, 0, &mut bytes), None);
        fs::write(&blob, "01").unwrap();
        assert_eq!(known.read(&fragment, 1, &mut bytes), None, "a blob that lost its end");
        fs::remove_file(&blob).unwrap();
        assert_eq!(known.read(&fragment, 1, &mut bytes), None, "a blob that is gone");
    }
}
