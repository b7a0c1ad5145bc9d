use std::fmt::Write as _;

use super::{BuildReport, ServiceReport};
use crate::layer::LayerRole;

/// The report as a person reads it in a terminal.
pub fn table(report: &BuildReport) -> String {
    let header = ["SERVICE", "PACKAGES", "FILES", "UNPACKED", "PACKED", "packages", "workspace", "app", "DIGEST"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(report.services.iter().map(row));
    let mut text = aligned(&rows);
    if let Some(first) = report.services.first() {
        let _ = writeln!(
            text,
            "\nEach lies on {} ({}), {} packed.",
            first.base,
            first.platform,
            megabytes(first.base_bytes)
        );
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
            count(report.services.len(), "image"),
            megabytes(comparison.whole_tree_in_each_bytes),
            megabytes(comparison.closures_bytes),
            megabytes(saved),
            saved * 100 / comparison.whole_tree_in_each_bytes,
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

fn row(service: &ServiceReport) -> Vec<String> {
    let digest = service.digest.strip_prefix("sha256:").unwrap_or(&service.digest);
    vec![
        service.name.clone(),
        service.packages.to_string(),
        service.files.to_string(),
        megabytes(service.unpacked_bytes),
        megabytes(service.compressed_bytes),
        megabytes(service.bytes_of(LayerRole::Packages)),
        megabytes(service.bytes_of(LayerRole::Workspace)),
        megabytes(service.bytes_of(LayerRole::Application)),
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
