//! Figures as people compare them: the middle, the slow end, the worst.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A distribution, in the unit of its values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub count: usize,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let max = *values.last()?;
        let at = |share| nearest_rank(&values, share);
        Some(Spread { count: values.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.0}, p95 {:.0}, max {:.0} of {}", self.p50, self.p95, self.max, self.count)
    }
}

/// The smallest value that at least `share` of all values do not exceed. A percentile of few values is
/// one of them, never a mixture of two.
fn nearest_rank(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Rows in columns: the first column to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let cell = |(c, text): (usize, &String)| match c {
        0 => format!("{text:<width$}", width = widths[0]),
        _ => format!("{text:>width$}", width = widths[c] + 2),
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned();
    rows.iter().map(|row| line(row) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of([900.0, 400.0, 500.0]).unwrap();
        assert_eq!((spread.p50, spread.p95, spread.max, spread.count), (500.0, 900.0, 900.0, 3));
        let hundred = Spread::of((1..=100).map(f64::from)).unwrap();
        assert_eq!((hundred.p50, hundred.p95, hundred.p99), (50.0, 95.0, 99.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["part".to_owned(), "ms".to_owned()], vec!["ä".to_owned(), "1200".to_owned()]];
        assert_eq!(table(&rows), "part    ms\nä     1200\n");
    }
}
