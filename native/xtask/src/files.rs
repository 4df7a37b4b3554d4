use std::io;
use std::path::Path;

/// Writes a file unless it has this text already: a newer file of a crate has cargo compile it and all that stand on it
/// again, minutes for the kernels.
pub fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        Ok(())
    } else {
        std::fs::write(path, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_the_text_stays_as_old_as_it_is() {
        let path = std::env::temp_dir().join(format!("openelm-xtask-{}", std::process::id()));
        write_if_changed(&path, "one").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        file.set_modified(long_ago).unwrap();
        let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
        write_if_changed(&path, "one").unwrap();
        assert_eq!(modified(), long_ago);
        write_if_changed(&path, "two").unwrap();
        assert!(modified() > long_ago);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        std::fs::remove_file(path).unwrap();
    }
}
