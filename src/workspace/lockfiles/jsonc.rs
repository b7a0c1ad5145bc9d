//! JSON with comments and trailing commas, as bun writes it, made JSON.

/// The text with blanks in the place of comments and of commas before a closing bracket, so that lines and columns stay.
pub(super) fn to_json(text: &str) -> String {
    let mut json = text.as_bytes().to_vec();
    let mut last_comma = None;
    let mut at = 0;
    while let Some(byte) = json.get(at).copied() {
        match byte {
            b'"' => {
                last_comma = None;
                at = end_of_text(&json, at);
                continue;
            }
            b'/' if json.get(at + 1) == Some(&b'/') => {
                let end = json[at..].iter().position(|byte| *byte == b'\n').map_or(json.len(), |length| at + length);
                blank(&mut json[at..end]);
            }
            b'/' if json.get(at + 1) == Some(&b'*') => {
                let inside = json.get(at + 2..).unwrap_or_default();
                let length = inside.windows(2).position(|pair| pair == b"*/").map(|length| length + 4);
                let end = length.map_or(json.len(), |length| at + length);
                blank(&mut json[at..end]);
            }
            b',' => last_comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = last_comma.take() {
                    json[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => last_comma = None,
        }
        at += 1;
    }
    // Only whole ASCII characters and whole comments became blanks.
    String::from_utf8(json).unwrap_or_default()
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// What follows the text literal that starts at `start`.
fn end_of_text(json: &[u8], start: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in json.iter().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_commas() {
        let table = [
            ("a trailing comma", "[1,2,\n]", "[1,2 \n]"),
            ("after a text", r#"{"a":"b",}"#, r#"{"a":"b" }"#),
            ("nested", "[[1,],]", "[[1 ] ]"),
            ("a comment before the bracket", "[1, // x\n]", "[1      \n]"),
            ("a comment of several lines", "/* ü\n */[]", "     \n   []"),
            ("in a text", r#"["//,]\",]"]"#, r#"["//,]\",]"]"#),
            ("an open text", "\"a,]", "\"a,]"),
            ("an open comment", "/* a", "    "),
            ("plain", r#"{"a":[1,2]}"#, r#"{"a":[1,2]}"#),
        ];
        for (comment, text, expected) in table {
            assert_eq!(to_json(text), expected, "{comment}");
        }
    }
}
