use std::fmt::Write as _;

use super::{BuildReport, ImageReport, ServiceReport, system_packages};
use crate::layer::LayerRole;

/// The report as a person reads it in a terminal.
pub fn table(report: &BuildReport) -> String {
    let header = ["SERVICE", "PACKAGES", "FILES", "UNPACKED", "PACKED", "packages", "workspace", "app", "DIGEST"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let images = || report.services.iter().flat_map(|service| service.images.iter().map(move |image| (service, image)));
    rows.extend(images().map(|(service, image)| row(service, image)));
    let several = report.services.iter().any(|service| service.images.len() > 1);
    if several {
        let platforms = images().map(|(_, image)| image.platform.clone());
        let cells = std::iter::once("PLATFORM".to_owned()).chain(platforms);
        rows.iter_mut().zip(cells).for_each(|(row, cell)| row.insert(1, cell));
    }
    let mut text = aligned(&rows);
    if let Some(first) = report.services.first() {
        let on = |image: &ImageReport| format!("({}), {} packed", image.platform, megabytes(image.base_bytes));
        let bases: Vec<String> = first.images.iter().map(on).collect();
        let _ = writeln!(text, "\nEach lies on {} {}.", first.base, bases.join("; "));
    }
    let added = images().map(|(service, image)| (&service.name, &image.platform, &image.system_packages));
    for line in system_packages::lines(added, several) {
        let _ = writeln!(text, "{line}");
    }
    let comparison = &report.comparison;
    if comparison.whole_tree_in_each_bytes > 0 {
        let saved = comparison.whole_tree_in_each_bytes.saturating_sub(comparison.closures_bytes);
        let _ = writeln!(
            text,
            "With all {} production packages of the workspace ({}) in each image, the {} would carry {}; they carry {}: \
             {} less ({} %).",
            comparison.whole_tree_packages,
            megabytes(comparison.whole_tree_bytes),
            count(images().count(), "image"),
            megabytes(comparison.whole_tree_in_each_bytes),
            megabytes(comparison.closures_bytes),
            megabytes(saved),
            saved * 100 / comparison.whole_tree_in_each_bytes,
        );
    }
    let foreign = images().map(|(_, image)| image.foreign_variants.bytes).sum();
    if foreign > 0 {
        let _ = writeln!(text, "Left out of them: {} of native code for other platforms.", megabytes(foreign));
    }
    for (taken, words) in [(true, "`slim` left out"), (false, "`slim = true` would leave out")] {
        let counts = |image: &ImageReport| taken || !image.leaner.trace.is_some_and(|trace| trace.taken);
        let saved = || {
            let images = images().filter(|(_, image)| counts(image));
            images.map(|(_, image)| image.leaner.slim).filter(|slim| slim.taken == taken)
        };
        let bytes: u64 = saved().map(|slim| slim.bytes).sum();
        if bytes > 0 {
            let _ = writeln!(
                text,
                "Of the packages of {}, {words} {}: types, source maps, documentation and tests.",
                count(saved().count(), "image"),
                megabytes(bytes),
            );
        }
    }
    let of_trace =
        |taken| images().filter_map(|(_, image)| image.leaner.trace).filter(move |trace| trace.taken == taken);
    let untraced = || of_trace(false);
    let bytes: u64 = untraced().map(|trace| trace.bytes).sum();
    if bytes > 0 {
        let _ = writeln!(
            text,
            "Of the packages of {}, `trace = true` would leave out up to {}, which no import leads to.",
            count(untraced().count(), "image"),
            megabytes(bytes),
        );
    }
    let traced = || of_trace(true);
    let bytes: u64 = traced().map(|trace| trace.bytes).sum();
    if bytes > 0 {
        let _ = writeln!(
            text,
            "Of the packages of {}, `trace` left out {} in {}, which no service that shares them can reach: `pirogue plan`.",
            count(traced().count(), "image"),
            megabytes(bytes),
            count(traced().map(|trace| trace.files).sum(), "file"),
        );
    }
    if report.checks.notes > 0 {
        let _ = writeln!(text, "The checks have {}: `pirogue check --verbose`.", count(report.checks.notes, "note"));
    }
    text.push('\n');
    for service in &report.services {
        for delivery in &service.delivered {
            let _ = writeln!(text, "{}@{}", delivery.name, service.digest);
        }
    }
    text
}

fn row(service: &ServiceReport, image: &ImageReport) -> Vec<String> {
    let digest = image.digest.strip_prefix("sha256:").unwrap_or(&image.digest);
    vec![
        service.name.clone(),
        image.packages.to_string(),
        image.files.to_string(),
        megabytes(image.unpacked_bytes),
        megabytes(image.compressed_bytes),
        megabytes(image.bytes_of(LayerRole::Packages)),
        megabytes(image.bytes_of(LayerRole::Workspace)),
        megabytes(image.bytes_of(LayerRole::Application)),
        digest.chars().take(12).collect(),
    ]
}

/// Columns as wide as their widest cell; the first and last to the left, numbers to the right.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ if column + 1 == columns => cell.clone(),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Bytes as people read them: megabytes of a million bytes, kilobytes below a tenth of one.
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("one {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["A".into(), "10".into(), "x".into()], vec!["long".into(), "1".into(), "yy".into()]];
        assert_eq!(aligned(&rows), "A     10  x\nlong   1  yy\n");
    }

    #[test]
    fn sizes() {
        assert_eq!(megabytes(0), "0.0 kB");
        assert_eq!(megabytes(99_999), "100.0 kB");
        assert_eq!(megabytes(12_345_678), "12.3 MB");
    }
}
