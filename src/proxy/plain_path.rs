//! Paths that mean the same to everybody who reads them, so that what is permitted and signed is what is done.

/// No operation's path comes near this length.
const LONGEST: usize = 2048;

/// Whether a path can be taken in one way only: segments that are not empty and not made of dots, the characters of
/// RFC 3986 paths without `;` (behind which some servers cut a segment off), and what is encoded is text that must be, and
/// that nobody takes for a separator: not `/`, `\`, `;`, `?`, `#`, `%`, no control character, nothing beyond ASCII (which some
/// fold into ASCII, and in which `/` can be written overlong).
pub(super) fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/').filter(|_| path.len() <= LONGEST) else {
        return false;
    };
    rest.is_empty() || rest.split('/').all(is_plain_segment)
}

fn is_plain_segment(segment: &str) -> bool {
    let mut only_dots = true;
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        only_dots &= *first == b'.';
        rest = match first {
            b'%' => match after {
                [high, low, after @ ..] if may_be_encoded(*high, *low) => after,
                _ => return false,
            },
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(byte) => after,
            _ => return false,
        };
    }
    !only_dots
}

fn may_be_encoded(high: u8, low: u8) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let Some(code) = digit(high).zip(digit(low)).map(|(high, low)| high * 16 + low) else {
        return false;
    };
    u8::try_from(code).is_ok_and(|byte| b" \"<>[]^`{|}!$&'()*+,=:@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_mean_another_is_none() {
        for plain in [
            "/",
            "/wallets",
            "/wallets/wa-1",
            "/permissions/pm:1,2",
            "/a/b%20c",
            "/a/%7Bb%7d",
            "/a/b.c",
            "/a/~b/..c",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            "wallets",
            "*",
            "//wallets",
            "/a//b",
            "/wallets/",
            "/a/./b",
            "/a/..",
            "/../a",
            "/a/.../b",
            "/a/..;/b",
            "/a;x=1/b",
            "/a/;/b",
            "/a\\b",
            "/ü",
            "/a|b",
            "/a b",
            "/a?b",
            "/a#b",
            "/a\0b",
            // Encoded: dots, separators, NUL and other controls, letters that need not be, what is itself encoded.
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2Fb",
            "/a%2fb",
            "/a%5cb",
            "/a%3bb",
            "/a/..%3b/b",
            "/a%3fb",
            "/a%23b",
            "/a%00b",
            "/a%0ab",
            "/a%0d%0ab",
            "/a%7fb",
            "/%77allets",
            "/a%252e",
            // Overlong forms of `.` and `/`, halves, letters that are folded into those of ASCII.
            "/a/%c0%ae%c0%ae/b",
            "/a%c0%afb",
            "/a%e0%80%afb",
            "/a%f0%80%80%afb",
            "/a%ef%bc%8fb",
            "/a%ff",
            // No encoding at all.
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%u002f",
            "/a%+1b",
        ] {
            assert!(!is_plain(other), "{other}");
        }
        assert!(!is_plain(&format!("/{}", "a".repeat(LONGEST))));
    }
}
