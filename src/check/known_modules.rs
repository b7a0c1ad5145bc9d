use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::CheckError;
use super::file_system::ImageFiles;
use crate::digest::Digest;
use crate::javascript::{self, Module};

/// A larger file is not read: no code that people wrote is.
const LARGEST: u64 = 16 << 20;

/// So many files are remembered; then those that this run did not meet are forgotten.
const MOST: usize = 200_000;

/// What files of code say, by the digests of their contents: each is read once, whatever services and runs it occurs in.
#[derive(Debug, Default)]
pub struct KnownModules {
    saved: HashMap<Digest, Arc<Module>>,
    fresh: Mutex<Fresh>,
}

#[derive(Debug, Default)]
struct Fresh {
    modules: HashMap<Digest, Arc<Module>>,
    used: HashSet<Digest>,
}

/// What is written down.
#[derive(Serialize, Deserialize)]
struct Saved<M> {
    reader: String,
    modules: BTreeMap<Digest, M>,
}

impl KnownModules {
    /// From the bytes that [`KnownModules::encode`] gave. Bytes that cannot be read, of whatever origin, say nothing.
    pub fn decode(bytes: Option<Vec<u8>>) -> Self {
        let saved: Option<Saved<Module>> = bytes.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let modules = saved.filter(|saved| saved.reader == javascript::READER).map(|saved| saved.modules);
        let modules = modules.into_iter().flatten().map(|(digest, module)| (digest, Arc::new(module)));
        Self { saved: modules.collect(), fresh: Mutex::default() }
    }

    /// What is known now; `None` if that is what was known before.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.modules.is_empty() {
            return None;
        }
        let is_full = self.saved.len() > MOST;
        let saved = self.saved.iter().filter(|(digest, _)| !is_full || fresh.used.contains(*digest));
        let modules = saved.chain(&fresh.modules).map(|(digest, module)| (*digest, module.as_ref())).collect();
        postcard::to_allocvec(&Saved { reader: javascript::READER.to_owned(), modules }).ok()
    }

    /// What a file of an image says, given by its real path: `Err` with the reason where it was not read, `None` where it is
    /// no code.
    pub(super) fn read(
        &self,
        files: &ImageFiles,
        path: &Path,
    ) -> Result<Option<Result<Arc<Module>, String>>, CheckError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Node takes a program without an extension for JavaScript.
        let name = if name.contains('.') { name.into_owned() } else { format!("{name}.js") };
        let Some(source_type) = javascript::source_type(&name) else { return Ok(None) };
        let Some(digest) = files.digest(path) else { return Ok(Some(Err("it is a part of the base".to_owned()))) };
        if files.size(path).is_some_and(|size| size > LARGEST) {
            return Ok(Some(Err(format!("it has more than {} MB", LARGEST >> 20))));
        }
        if let Some(known) = self.known(&digest) {
            return Ok(Some(Ok(known)));
        }
        let Some(content) = files.read(path)? else { return Ok(None) };
        let module = Arc::new(javascript::read(&String::from_utf8_lossy(&content), source_type));
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.modules.insert(digest, module.clone());
        Ok(Some(Ok(module)))
    }

    fn known(&self, digest: &Digest) -> Option<Arc<Module>> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.used.insert(*digest);
        self.saved.get(digest).or_else(|| fresh.modules.get(digest)).cloned()
    }
}
