//! What was found of the images of one service for several platforms, as one.

use std::collections::BTreeMap;

use super::{Checked, Finding};
use crate::platform::Platform;

impl Checked {
    /// What the images of a service give together. A finding that not all of them have says which do.
    pub fn of_platforms(images: BTreeMap<&Platform, Self>) -> Self {
        let count = images.len();
        let mut whole = Self::default();
        let mut platforms: BTreeMap<Finding, Vec<String>> = BTreeMap::new();
        for (platform, checked) in images {
            for finding in checked.findings {
                platforms.entry(finding).or_default().push(platform.to_string());
            }
            whole.reached = whole.reached.max(checked.reached);
            if checked.unreached.bytes > whole.unreached.bytes {
                whole.unreached = checked.unreached;
            }
            for (package, places) in checked.computed {
                let known = whole.computed.entry(package).or_default();
                *known = places.max(*known);
            }
            whole.unread.extend(checked.unread);
        }
        let findings = platforms.into_iter().map(|(finding, platforms)| match platforms.len() == count {
            true => finding,
            false => Finding { message: format!("{} (only for {})", finding.message, platforms.join(", ")), ..finding },
        });
        whole.findings = findings.collect();
        whole.findings.sort();
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Code, Severity};

    #[test]
    fn what_some_platforms_have_says_so() {
        let finding = |message: &str| Finding {
            severity: Severity::Error,
            code: Code::ImportMissing,
            place: None,
            message: message.to_owned(),
            fix: None,
        };
        let checked = |messages: &[&str]| Checked {
            findings: messages.iter().map(|message| finding(message)).collect(),
            reached: messages.len(),
            ..Checked::default()
        };
        let platforms: Vec<Platform> = ["linux/amd64", "linux/arm64"].map(|text| text.parse().unwrap()).into();
        let table: [(&str, &[&[&str]], &[&str]); 4] = [
            ("one platform", &[&["a"]], &["a"]),
            ("both", &[&["a"], &["a"]], &["a"]),
            ("the second", &[&["b"], &["a", "b"]], &["a (only for linux/arm64)", "b"]),
            ("each another", &[&["b"], &["a"]], &["a (only for linux/arm64)", "b (only for linux/amd64)"]),
        ];
        for (comment, images, expected) in table {
            let images = platforms.iter().zip(images).map(|(platform, messages)| (platform, checked(messages)));
            let whole = Checked::of_platforms(images.collect());
            let messages: Vec<&str> = whole.findings.iter().map(|finding| finding.message.as_str()).collect();
            assert_eq!(messages, expected, "{comment}");
        }
    }
}
