//! Git's index: only the paths of it.

/// Stage bits of the flags, which tell sides of a conflict apart, do not matter here; the extended bit moves the path.
const EXTENDED: u16 = 0x4000;
/// `ctime` to `size`, ten words.
const FIXED_BYTES: usize = 40;

/// The paths of an index in version 2, 3 or 4; `None` for anything else. Folders (submodules, sparse parts) are in it too.
pub(super) fn paths(bytes: &[u8], hash_len: usize) -> Option<Vec<Vec<u8>>> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.get(..4)? != b"DIRC" {
        return None;
    }
    let version = word(4)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut paths: Vec<Vec<u8>> = Vec::new();
    let mut at = 12;
    for _ in 0..word(8)? {
        let flags_at = at + FIXED_BYTES + hash_len;
        let flags = u16::from_be_bytes(bytes.get(flags_at..flags_at + 2)?.try_into().ok()?);
        let mut path_at = flags_at + if flags & EXTENDED == 0 { 2 } else { 4 };
        let mut path = Vec::new();
        if version == 4 {
            let cut = varint(bytes, &mut path_at)?;
            path = paths.last().cloned().unwrap_or_default();
            path.truncate(path.len().checked_sub(cut)?);
        }
        let rest = bytes.get(path_at..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        path.extend_from_slice(&rest[..end]);
        // Up to version 3, one to eight NULs fill the entry to a multiple of eight.
        let length = path_at + end - at;
        at += if version == 4 { length + 1 } else { (length + 8) & !7 };
        paths.push(path);
    }
    Some(paths)
}

/// Git's number of variable length, which has one form for each number.
fn varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut next = || {
        let byte = *bytes.get(*at)?;
        *at += 1;
        Some(byte)
    };
    let mut byte = next()?;
    let mut number = usize::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        byte = next()?;
        number = number.checked_add(1)?.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
    }
    Some(number)
}
