//! What others wrote is shown, never obeyed: control characters in names and console text could move the cursor, retitle
//! the window or hide a line.

use std::fmt::Write;

/// Whether a terminal might act on this character: the C0 and C1 controls, and the marks that reorder or hide text
/// (Unicode's `Bidi_Control`, zero-width characters and line separators).
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One line: every acting character is written as its code.
pub(crate) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Console text: line ends and tabs stay, a carriage return before a line end goes.
pub(crate) fn lines(text: &str) -> String {
    escaped(&text.replace("\r\n", "\n"), |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keep(c) || !acts(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            // writing to a String can't fail
            c => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    shown
}

/// JSON as serde wrote it: what serde leaves bare inside strings becomes `\uXXXX`, which means the same.
pub(crate) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // writing to a String can't fail
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_steer_the_terminal() {
        assert_eq!(line("a\x1b[31mb\u{9b}2J\r\nc\u{202e}d é"), "a\\u{1b}[31mb\\u{9b}2J\\r\\nc\\u{202e}d é");
    }

    #[test]
    fn console_text_keeps_its_lines() {
        assert_eq!(lines("one\r\ntwo\tthree\rfour\x07\n"), "one\ntwo\tthree\\rfour\\u{7}\n");
    }

    #[test]
    fn json_means_the_same_after_escaping() {
        let value = serde_json::json!({"a": "x\u{9b}\u{1b}\u{7f}\u{202e}\u{feff}ü"});
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        let shown = json(&text);
        assert!(shown.contains("\\u009b") && shown.contains("\\u007f") && !shown.contains('\u{202e}'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), Some(value));
    }
}
