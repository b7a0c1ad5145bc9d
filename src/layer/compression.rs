use std::io;

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
    /// With room for what is compressed, which would have to be cleared each time if it were the piece's own.
    Gzip(Compressor, Decompressor, Vec<u8>),
    Zstd(zstd::bulk::Compressor<'static>, zstd::bulk::Decompressor<'static>),
}

impl Codec {
    pub fn new(compression: Compression) -> Result<Self, PackError> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Gzip => {
                // A level that libdeflate does not know is impossible here; its default is the same level.
                let level = CompressionLvl::new(GZIP_LEVEL).unwrap_or_default();
                Self::Gzip(Compressor::new(level), Decompressor::new(), Vec::new())
            }
            Compression::Zstd => {
                let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(refused)?;
                Self::Zstd(compressor, zstd::bulk::Decompressor::new().map_err(refused)?)
            }
        })
    }

    /// One gzip member (no time, no name, and "unknown" as the operating system, as libdeflate writes it) or one zstd
    /// frame, in `compressed` instead of what was there.
    pub fn compress(&mut self, tar: &[u8], compressed: &mut Vec<u8>) -> Result<(), PackError> {
        match self {
            Self::None => {
                compressed.clear();
                compressed.extend_from_slice(tar);
            }
            Self::Gzip(compressor, _, room) => {
                let bound = compressor.gzip_compress_bound(tar.len());
                room.resize(room.len().max(bound), 0);
                let length =
                    compressor.gzip_compress(tar, room).map_err(|error| PackError::Compress(error.to_string()))?;
                compressed.clear();
                compressed.extend_from_slice(room.get(..length).unwrap_or_default());
            }
            Self::Zstd(compressor, _) => {
                compressed.clear();
                compressed.reserve(zstd::zstd_safe::compress_bound(tar.len()));
                compressor.compress_to_buffer(tar, compressed).map_err(refused)?;
            }
        }
        Ok(())
    }

    /// Whether the bytes decompress to a piece of `length` bytes, which is in `tar` then.
    pub fn decompress(&mut self, compressed: &[u8], length: usize, tar: &mut Vec<u8>) -> bool {
        tar.resize(length, 0);
        match self {
            Self::None => {
                let same = compressed.len() == length;
                if same {
                    tar.copy_from_slice(compressed);
                }
                same
            }
            Self::Gzip(_, decompressor, _) => decompressor.gzip_decompress(compressed, tar) == Ok(length),
            Self::Zstd(_, decompressor) => {
                decompressor.decompress_to_buffer(compressed, tar.as_mut_slice()).is_ok_and(|written| written == length)
            }
        }
    }
}

fn refused(error: io::Error) -> PackError {
    PackError::Compress(error.to_string())
}
