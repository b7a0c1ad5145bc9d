//! What npm takes for a compressed archive.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of a gzip stream. npm takes plain archives too.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The archive inside a tarball, compressed or not.
///
/// Members of gzip may follow each other. A zero byte after one ends the stream: tarballs from before 2012 are filled up
/// with zeros to whole blocks of tar. Source: Node, `src/node_zlib.cc`, "Trailing zero bytes are okay".
pub(in crate::layer) fn archive_inside<'a>(mut tarball: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match tarball.fill_buf()?.starts_with(&MAGIC) {
        true => Box::new(Members(Some(GzDecoder::new(tarball)))),
        false => Box::new(tarball),
    })
}

/// Members of gzip, the one that is read and those behind it; `None` after the last.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.0.as_mut().filter(|_| !buffer.is_empty()) {
            let count = member.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            // It is not asked again once it ended, so that nothing behind the stream is taken for a member.
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else { break };
            if !matches!(rest.fill_buf()?.first(), None | Some(0)) {
                self.0 = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_end_of_a_stream() {
        let gzip = |text: &str| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        };
        let (one, two) = (gzip("one"), gzip("two"));
        let table: [(&str, Vec<u8>, Option<&str>); 7] = [
            ("one member", one.clone(), Some("one")),
            ("two members", [&one[..], &two].concat(), Some("onetwo")),
            ("an empty member", [&gzip("")[..], &two].concat(), Some("two")),
            ("zeros", [&one[..], &[0; 1150]].concat(), Some("one")),
            ("a member behind a zero", [&one[..], &[0], &two].concat(), Some("one")),
            ("what is no member", [&one[..], b"PPPPPPPPPP"].concat(), None),
            ("a member that is cut off", [&one[..], &two[..two.len() - 1]].concat(), None),
        ];
        for (comment, tarball, expected) in table {
            for capacity in [2, 7, 8192] {
                let reader = io::BufReader::with_capacity(capacity, &tarball[..]);
                let mut found = String::new();
                let result = archive_inside(reader).and_then(|mut archive| archive.read_to_string(&mut found));
                assert_eq!(result.ok().map(|_| found.as_str()), expected, "{comment}");
            }
        }
    }
}
