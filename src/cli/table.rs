//! Tables that fit the window. What says the same in every row is left out, ids are shortened, and a line is never broken by
//! the terminal; `--wide` has everything, whole.

use super::harmless;
use super::text::{columns, cut, shortened};

/// Between two columns.
const GAP: usize = 2;
/// An id that is shorter tells nothing from anything.
const SHORTEST_ID: usize = 13;
/// Nor does a word.
const SHORTEST_WORD: usize = 8;

/// How a column makes room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Cut at its end, when nothing else helps.
    Word,
    /// Loses its middle.
    Id,
}

/// A column: its head, and how it makes room.
pub(super) struct Column {
    head: &'static str,
    role: Role,
    spare: bool,
}

impl Column {
    /// Of names and short words.
    pub(super) fn word(head: &'static str) -> Self {
        Self {
            head,
            role: Role::Word,
            spare: false,
        }
    }

    /// Of ids and fingerprints.
    pub(super) fn id(head: &'static str) -> Self {
        Self {
            role: Role::Id,
            ..Self::word(head)
        }
    }

    /// Left out where it says the same in every row, or where there is no room.
    pub(super) fn spare(self) -> Self {
        Self { spare: true, ..self }
    }
}

/// What is shown in rows.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of as many cells as there are columns.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let cells = cells
            .into_iter()
            .map(|cell| harmless::text(&cell.into()).replace(['\n', '\t'], " "))
            .collect();
        self.rows.push(cells);
    }

    /// The line of the heads and one for each row, in a window of so many columns, or in as many as it takes.
    pub(super) fn lines(mut self, window: Option<usize>) -> (String, Vec<String>) {
        let mut widths: Vec<usize> = (0..self.columns.len()).map(|column| self.widest(column)).collect();
        if let Some(window) = window {
            self.leave_out(&mut widths, |table, column, _| table.says_the_same(column));
            self.shrink(&mut widths, window, Role::Id, SHORTEST_ID);
            self.leave_out(&mut widths, |_, _, widths| total(widths) > window);
            self.shrink(&mut widths, window, Role::Word, SHORTEST_WORD);
        }
        let heads: Vec<String> = self.columns.iter().map(|column| column.head.to_owned()).collect();
        let rows = self.rows.iter().map(|row| self.line(row, &widths)).collect();
        (self.line(&heads, &widths), rows)
    }

    fn widest(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| columns(&row[column]));
        cells.max().unwrap_or(0).max(columns(self.columns[column].head))
    }

    fn says_the_same(&self, column: usize) -> bool {
        self.rows.len() > 1 && self.rows.iter().all(|row| row[column] == self.rows[0][column])
    }

    /// Takes out the spare columns for which there is a reason, from the right.
    fn leave_out(&mut self, widths: &mut Vec<usize>, reason: impl Fn(&Self, usize, &[usize]) -> bool) {
        for column in (0..self.columns.len()).rev() {
            if self.columns[column].spare && reason(self, column, widths) {
                self.columns.remove(column);
                widths.remove(column);
                for row in &mut self.rows {
                    row.remove(column);
                }
            }
        }
    }

    /// Makes the widest columns of a role narrower, until the table fits or they cannot be.
    fn shrink(&self, widths: &mut [usize], window: usize, role: Role, shortest: usize) {
        while total(widths) > window {
            let widest = (0..widths.len())
                .filter(|column| self.columns[*column].role == role && widths[*column] > shortest)
                .max_by_key(|column| widths[*column]);
            match widest {
                Some(column) => widths[column] -= 1,
                None => return,
            }
        }
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((column, cell), width) in self.columns.iter().zip(cells).zip(widths) {
            let fitted = match column.role {
                Role::Word => cut(cell, *width),
                Role::Id => shortened(cell, *width),
            };
            let padding = (width + GAP).saturating_sub(columns(&fitted));
            line.push_str(&fitted);
            line.extend(std::iter::repeat_n(' ', padding));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn total(widths: &[usize]) -> usize {
    widths
        .iter()
        .map(|width| width + GAP)
        .sum::<usize>()
        .saturating_sub(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 4]]) -> Table {
        let mut table = Table::new([
            Column::word("NAME"),
            Column::word("KIND").spare(),
            Column::id("ID"),
            Column::word("STATE"),
        ]);
        for row in rows {
            table.row(*row);
        }
        table
    }

    const ROWS: [[&str; 4]; 2] = [
        ["payments", "service account", "us-6q7j6-9vt8d-9s4k2abcdefgh", "active"],
        ["zoë 日本", "token", "us-1", "inactive"],
    ];

    #[test]
    fn a_table_never_is_wider_than_its_window_and_uses_what_there_is() {
        for window in 33..100 {
            let (head, rows) = table(&ROWS).lines(Some(window));
            for line in std::iter::once(&head).chain(&rows) {
                assert!(columns(line) <= window, "{window}: {line:?}");
            }
        }
        let (_, whole) = table(&ROWS).lines(Some(65));
        let (_, unlimited) = table(&ROWS).lines(None);
        assert_eq!(whole, unlimited);
        assert!(whole[0].contains("us-6q7j6-9vt8d-9s4k2abcdefgh  active"), "{whole:?}");
    }

    #[test]
    fn what_says_the_same_in_every_row_is_left_out() {
        let rows = [ROWS[0], ["other", ROWS[0][1], "us-2", "active"]];
        assert!(!table(&rows).lines(Some(200)).0.contains("KIND"));
        assert!(table(&rows).lines(None).0.contains("KIND"), "asked for everything");
        assert!(table(&ROWS).lines(Some(200)).0.contains("KIND"));
        assert!(
            table(&ROWS[..1]).lines(Some(200)).0.contains("KIND"),
            "one row compares to none"
        );
    }

    #[test]
    fn a_cell_stays_in_its_line() {
        let (_, rows) = table(&[["a\nb", "\u{1b}[2J", "c\td", ""]]).lines(None);
        assert_eq!(rows.len(), 1);
        assert!(!rows[0].contains(['\n', '\t', '\u{1b}']), "{rows:?}");
    }
}
