//! `.env` files, read as python-dotenv, npm dotenv and bash read them where they agree: single quotes keep everything,
//! double quotes know `\n`, an unquoted value ends at the line's end or at a comment. Own code, because what is read
//! are secrets, which the libraries for it leave behind in memory, and because a value's wounds must survive the reading.

use zeroize::Zeroizing;

type Assignment = (String, Zeroizing<String>);

const LONGEST_NAME: usize = 128;

/// The assignments in their order, or the line that is none and why.
pub(super) fn parse(text: &str) -> Result<Vec<Assignment>, (usize, &'static str)> {
    let mut assignments = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (consumed, assignment) = statement(rest).map_err(|reason| (line, reason))?;
        assignments.extend(assignment);
        line += rest[..consumed].matches('\n').count();
        rest = &rest[consumed..];
    }
    Ok(assignments)
}

/// One line, or several where a quoted value spans them: how much it takes, and what it assigns.
fn statement(text: &str) -> Result<(usize, Option<Assignment>), &'static str> {
    let line_end = text.find('\n').map_or(text.len(), |end| end + 1);
    let line = text[..line_end].trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok((line_end, None));
    }
    let start = text.len() - text.trim_start().len();
    let body = &text[start..];
    let body = body.strip_prefix("export ").map_or(body, str::trim_start);
    let equals = body[..body.find('\n').unwrap_or(body.len())]
        .find('=')
        .ok_or("it has no `=`")?;
    let name = body[..equals].trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_name) {
        return Err("what stands before `=` is no variable name");
    }
    let value = body[equals + 1..].trim_start_matches([' ', '\t']);
    let offset = text.len() - value.len();
    let (length, value) = match value.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(value, quote)?,
        _ => unquoted(value),
    };
    let after = offset + length;
    let end = text[after..].find('\n').map_or(text.len(), |end| after + end + 1);
    let trailing = text[after..end].trim();
    if !trailing.is_empty() && !trailing.starts_with('#') {
        return Err("something stands behind the closing quote");
    }
    Ok((end, Some((name.to_owned(), value))))
}

fn unquoted(text: &str) -> (usize, Zeroizing<String>) {
    let line = &text[..text.find('\n').unwrap_or(text.len())];
    let value = line.split_once(" #").map_or(line, |(value, _)| value);
    (line.len(), Zeroizing::new(value.trim().to_owned()))
}

fn quoted(text: &str, quote: char) -> Result<(usize, Zeroizing<String>), &'static str> {
    // As much room as it can take, so that the text never moves and leaves a copy behind; and no more, since there may be
    // many values.
    let room = raw_length(text, quote).ok_or(NEVER_CLOSED)?;
    let mut value = Zeroizing::new(String::with_capacity(room));
    let mut characters = text.char_indices().skip(1);
    while let Some((position, character)) = characters.next() {
        match character {
            end if end == quote => return Ok((position + 1, value)),
            '\\' if quote == '"' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other @ ('"' | '\\' | '$'))) => value.push(other),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err(NEVER_CLOSED)
}

const NEVER_CLOSED: &str = "a quote is opened and never closed";

/// How many bytes a value takes with its opening quote, up to the closing one.
fn raw_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = true;
    text.find(|character| {
        let closes = character == quote && !escaped;
        escaped = character == '\\' && quote == '"' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> String {
        let assignments = parse(text).unwrap();
        assert_eq!(assignments.len(), 1, "{text}");
        assert_eq!(assignments[0].0, "A");
        assignments[0].1.to_string()
    }

    #[test]
    fn values_are_read_as_their_readers_read_them() {
        for (text, expected) in [
            ("A=b", "b"),
            ("  export A = b  # comment\n", "b"),
            ("A=b#c", "b#c"),
            ("A='b\\nc'", "b\\nc"),
            ("A=\"b\\nc\"", "b\nc"),
            ("A='b\nc\n'\n", "b\nc\n"),
            ("A=\"b\nc\" # comment", "b\nc"),
            ("A=\"b\\\"c\"", "b\"c"),
            ("# comment\n\nA=", ""),
            ("A=b\r\n", "b"),
            ("A=x==", "x=="),
        ] {
            assert_eq!(one(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_assignment_is_told_by_its_number() {
        for (text, line) in [
            ("A=b\nnonsense\n", 2),
            ("A='b\nc'\nB='open\n", 3),
            ("=b", 1),
            ("A='b' c", 1),
            ("A B=c", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text:?}");
        }
    }
}
