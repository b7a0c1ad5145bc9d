//! The gzip members that indexes and packages are rows of: each has its own meaning, and checksums and signatures are over
//! their compressed bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Keeps or hashes what passes of a compressed stream.
pub(super) trait Witness {
    fn see(&mut self, bytes: &[u8]);
}

impl Witness for Vec<u8> {
    fn see(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Witness for ring::digest::Context {
    fn see(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// A stream whose consumed bytes a witness sees.
struct Watched<'r, R, W> {
    reader: &'r mut R,
    witness: W,
}

impl<R: BufRead, W: Witness> Read for Watched<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.witness.see(&buffer[..count]);
        Ok(count)
    }
}

impl<R: BufRead, W: Witness> BufRead for Watched<'_, R, W> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Ok(available) = self.reader.fill_buf() {
            let seen = &available[..count.min(available.len())];
            self.witness.see(seen);
        }
        self.reader.consume(count);
    }
}

/// Reads the next member, of no more than `limit` bytes, to its end. Gives its compressed bytes, and those inside.
pub(super) fn member(reader: &mut impl BufRead, limit: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut decoder = GzDecoder::new(Watched { reader, witness: Vec::new() });
    let mut inside = Vec::new();
    (&mut decoder).take(limit + 1).read_to_end(&mut inside)?;
    if inside.len() as u64 > limit {
        return Err(io::Error::other(format!("a segment has more than {limit} bytes")));
    }
    Ok((decoder.into_inner().witness, inside))
}

/// What is left of a stream, member by member, without compression.
pub(super) struct Members<'r, R: BufRead, W: Witness> {
    member: Option<GzDecoder<Watched<'r, R, W>>>,
    /// Bytes read of the inside, and the most there may be.
    read: u64,
    limit: u64,
    witness: Option<W>,
}

impl<'r, R: BufRead, W: Witness> Members<'r, R, W> {
    pub(super) fn new(reader: &'r mut R, witness: W, limit: u64) -> Self {
        Self { member: Some(GzDecoder::new(Watched { reader, witness })), read: 0, limit, witness: None }
    }

    /// Reads to the end. Gives what the witness knows, and the bytes there were.
    pub(super) fn finish(mut self) -> io::Result<(Option<W>, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((self.witness, self.read))
    }
}

impl<R: BufRead, W: Witness> Read for Members<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.member.as_mut().filter(|_| !buffer.is_empty()) {
            let count = member.read(buffer)?;
            if count > 0 {
                self.read += count as u64;
                if self.read > self.limit {
                    return Err(io::Error::other(format!("the files have more than {} bytes", self.limit)));
                }
                return Ok(count);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            match rest.fill_buf()?.is_empty() {
                true => self.witness = Some(rest.witness),
                false => self.member = Some(GzDecoder::new(rest)),
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;

    pub(in crate::apk) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn members_end_where_they_end() {
        let (one, two, three) = (gzip(b"one"), gzip(b"two"), gzip(b"three"));
        let all = [&one[..], &two, &three].concat();
        for capacity in [1, 7, 8192] {
            let mut reader = io::BufReader::with_capacity(capacity, &all[..]);
            assert_eq!(member(&mut reader, 10).unwrap(), (one.clone(), b"one".to_vec()));
            let mut rest = Members::new(&mut reader, Vec::new(), 100);
            let mut inside = String::new();
            rest.read_to_string(&mut inside).unwrap();
            assert_eq!(inside, "twothree");
            assert_eq!(rest.finish().unwrap(), (Some([&two[..], &three].concat()), 8));
        }
        assert!(member(&mut &one[..], 2).is_err(), "too long");
        assert!(member(&mut &one[..one.len() - 1], 10).is_err(), "cut off");
        assert!(Members::new(&mut &one[..], Vec::new(), 2).finish().is_err(), "too long");
    }
}
