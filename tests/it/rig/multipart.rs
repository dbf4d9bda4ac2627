//! `multipart/x-mixed-replace`, read as a strict client reads it.

/// The whole parts of a body whose content type names the boundary.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Vec<&'a [u8]> {
    let boundary = content_type.split("boundary=").nth(1).expect("no boundary").trim_matches('"');
    let delimiter = format!("--{boundary}\r\n");
    let (mut parts, mut rest) = (Vec::new(), body);
    while let Some(start) = find(rest, delimiter.as_bytes()) {
        assert!(rest[..start].iter().all(u8::is_ascii_whitespace), "something between two parts");
        let Some(head_end) = find(&rest[start..], b"\r\n\r\n").map(|end| start + end + 4) else { break };
        let head = std::str::from_utf8(&rest[start..head_end]).unwrap().to_ascii_lowercase();
        assert!(head.contains("content-type: image/jpeg"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).expect("no length of a part");
        let Some(part) = rest.get(head_end..head_end + length.trim().parse::<usize>().unwrap()) else { break };
        parts.push(part);
        rest = &rest[head_end + part.len()..];
    }
    parts
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
