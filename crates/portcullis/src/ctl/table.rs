//! Answers as tables for people.

use serde_json::Value;

/// What of each row stands in which column: the heading, and the member.
pub(super) type Columns = [(&'static str, &'static str)];

/// Makes a table: a line of headings, then a line for each row, as wide as what stands in it.
pub(super) fn table<'a>(columns: &Columns, rows: impl Iterator<Item = &'a Value>) -> String {
    let mut lines: Vec<Vec<String>> =
        vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect()];
    lines.extend(rows.map(|row| columns.iter().map(|(_, member)| cell(member, &row[*member])).collect()));
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// One value as people read it; `-` is none.
fn cell(member: &str, value: &Value) -> String {
    match (member, value) {
        (_, Value::Null) => "-".into(),
        ("age" | "left" | "response", value) => value.as_f64().map_or_else(|| "-".into(), lasted),
        (member, Value::Number(number)) if member.ends_with("_bytes") => {
            number.as_u64().map_or_else(|| number.to_string(), amount)
        }
        (_, Value::Bool(flag)) => if *flag { "yes" } else { "no" }.into(),
        (_, Value::String(text)) if text.is_empty() => "-".into(),
        (_, Value::String(text)) => printable(text),
        (_, value) => printable(&value.to_string()),
    }
}

/// Text in which a terminal finds nothing to do.
pub(super) fn printable(text: &str) -> String {
    let plain = |symbol: char| symbol.is_alphanumeric() || symbol.is_ascii_graphic() || symbol == ' ';
    text.chars().map(|symbol| if plain(symbol) { symbol } else { '\u{fffd}' }).collect()
}

/// Seconds as `1d02h`, `3h04m`, `5m06s`, `7.8s` or `90ms`.
fn lasted(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0 if seconds < 1.0 => format!("{:.0}ms", seconds * 1000.0),
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// Bytes as `512`, `1.5K`, `2.0M`.
fn amount(bytes: u64) -> String {
    let (mut amount, mut unit) = (bytes as f64, None);
    for next in ['K', 'M', 'G', 'T', 'P'] {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, Some(next));
    }
    unit.map_or_else(|| bytes.to_string(), |unit| format!("{amount:.1}{unit}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_as_wide_as_what_stands_in_it() {
        let rows = [
            json!({ "name": "a", "up_bytes": 2048, "age": 61.5, "backup": false }),
            json!({ "name": "longer", "up_bytes": 7, "age": 0.25, "backup": null }),
        ];
        let columns = [("NAME", "name"), ("UP", "up_bytes"), ("AGE", "age"), ("BACKUP", "backup")];
        let want = "NAME    UP    AGE    BACKUP\na       2.0K  1m01s  no\nlonger  7     250ms  -\n";
        assert_eq!(table(&columns, rows.iter()), want);
    }

    #[test]
    fn what_a_stranger_chose_does_nothing_to_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\u{202e}b\nc"), "a\u{fffd}[2J\u{fffd}b\u{fffd}c");
        assert_eq!(printable("Größe 7"), "Größe 7");
    }

    #[test]
    fn times_and_amounts_are_short() {
        for (seconds, want) in [(7.84, "7.8s"), (306.0, "5m06s"), (11_040.0, "3h04m"), (93_600.0, "1d02h")] {
            assert_eq!(lasted(seconds), want);
        }
        for (bytes, want) in
            [(0, "0"), (1023, "1023"), (1536, "1.5K"), (3 << 30, "3.0G"), (u64::MAX, "16384.0P")]
        {
            assert_eq!(amount(bytes), want);
        }
    }
}
