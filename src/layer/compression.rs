use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::PackError;
use crate::manifest::media_type::Compression;

/// libdeflate's level: measured as the best ratio that still keeps one core above 100 MB/s.
const GZIP_LEVEL: i32 = 6;
/// zstd's level: measured as faster than gzip at any level, and smaller.
const ZSTD_LEVEL: i32 = 3;

/// Compresses pieces and takes them apart again. One for each thread, for the tables inside are used again and again.
pub(super) enum Codec {
    None,
    Gzip(Compressor, Decompressor),
    Zstd,
}

impl Codec {
    pub fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => {
                // A level that libdeflate does not know is impossible here; its default is the same level.
                let level = CompressionLvl::new(GZIP_LEVEL).unwrap_or_default();
                Self::Gzip(Compressor::new(level), Decompressor::new())
            }
            Compression::Zstd => Self::Zstd,
        }
    }

    /// One gzip member (no time, no name, and "unknown" as the operating system, as libdeflate writes it) or one zstd
    /// frame.
    pub fn compress(&mut self, tar: &[u8]) -> Result<Vec<u8>, PackError> {
        match self {
            Self::None => Ok(tar.to_vec()),
            Self::Gzip(compressor, _) => {
                let mut compressed = vec![0; compressor.gzip_compress_bound(tar.len())];
                let length = compressor
                    .gzip_compress(tar, &mut compressed)
                    .map_err(|error| PackError::Compress(error.to_string()))?;
                compressed.truncate(length);
                Ok(compressed)
            }
            Self::Zstd => zstd::bulk::compress(tar, ZSTD_LEVEL).map_err(|error| PackError::Compress(error.to_string())),
        }
    }

    /// The piece of `length` bytes that was compressed; `None` if the bytes do not decompress to that.
    pub fn decompress(&mut self, compressed: &[u8], length: usize) -> Option<Vec<u8>> {
        match self {
            Self::None => (compressed.len() == length).then(|| compressed.to_vec()),
            Self::Gzip(_, decompressor) => {
                let mut tar = vec![0; length];
                let written = decompressor.gzip_decompress(compressed, &mut tar).ok()?;
                (written == length).then_some(tar)
            }
            Self::Zstd => zstd::bulk::decompress(compressed, length).ok().filter(|tar| tar.len() == length),
        }
    }
}
