//! Columns under each other, and rows as they change.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::rows::{Row, Table};

/// Blanks between two columns.
const GAP: usize = 3;
/// The column that changes by itself.
const AGE: &str = "AGE";

/// Prints a table once, then the rows that changed since, in columns that only ever get wider.
#[derive(Debug, Default)]
pub(super) struct Printer {
    widths: Vec<usize>,
    printed: BTreeMap<String, Vec<String>>,
    headed: bool,
}

impl Printer {
    /// What has to be printed now that the table is this. Empty when nothing changed but ages.
    pub(super) fn update(&mut self, table: &Table) -> String {
        let quiet: Vec<bool> =
            table.headers.iter().map(|header| matches!(*header, AGE | "HEARTBEAT")).collect();
        let changed: Vec<&Row> = table.rows.iter().filter(|row| self.is_news(row, &quiet)).collect();
        self.widen(&table.headers, &changed);
        let mut out = String::new();
        if !self.headed && !table.rows.is_empty() {
            self.headed = true;
            let headers: Vec<String> = table.headers.iter().map(|header| (*header).to_owned()).collect();
            self.line(&mut out, &headers);
        }
        for row in changed {
            self.line(&mut out, &row.cells);
            self.printed.insert(row.key.clone(), still(&row.cells, &quiet));
        }
        self.printed.retain(|key, _| table.rows.iter().any(|row| row.key == *key));
        out
    }

    fn is_news(&self, row: &Row, quiet: &[bool]) -> bool {
        self.printed.get(&row.key) != Some(&still(&row.cells, quiet))
    }

    fn widen(&mut self, headers: &[&'static str], rows: &[&Row]) {
        self.widths.resize(headers.len().max(self.widths.len()), 0);
        for (width, header) in self.widths.iter_mut().zip(headers) {
            *width = (*width).max(header.len());
        }
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
    }

    fn line(&self, out: &mut String, cells: &[String]) {
        let mut line = String::new();
        for (width, cell) in self.widths.iter().zip(cells) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:<width$}", width = width + GAP);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// The cells that count as news.
fn still(cells: &[String], quiet: &[bool]) -> Vec<String> {
    cells.iter().zip(quiet).filter(|(_, quiet)| !**quiet).map(|(cell, _)| cell.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let row = |cells: &[&str; 3]| Row {
            key: cells[0].to_owned(),
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        };
        Table { headers: vec!["NAME", "PHASE", "AGE"], rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn only_news_is_printed_again() {
        let mut printer = Printer::default();
        assert_eq!(printer.update(&table(&[])), "");
        let first = printer.update(&table(&[["a", "Syncing", "1s"], ["bb", "", "2s"]]));
        assert_eq!(first, "NAME   PHASE     AGE\na      Syncing   1s\nbb               2s\n");
        assert_eq!(printer.update(&table(&[["a", "Syncing", "3s"], ["bb", "", "4s"]])), "");
        assert_eq!(printer.update(&table(&[["a", "Synced", "5s"]])), "a      Synced    5s\n");
        assert_eq!(
            printer.update(&table(&[["a", "Synced", "6s"], ["bb", "", "0s"]])),
            "bb               0s\n"
        );
    }
}
