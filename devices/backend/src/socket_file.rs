//! Sockets that are files: one that a program left behind is in the way of the next.

use std::fs::remove_file;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Removes a socket that somebody left behind at `path`. One that is in use stays, and so does anything else.
pub fn clear_away(path: &Path) -> io::Result<()> {
    let is_socket = path.symlink_metadata().is_ok_and(|data| data.file_type().is_socket());
    if is_socket && is_left_behind(path) { remove_file(path) } else { Ok(()) }
}

/// Whether nobody is at `path`. A call of another type of socket does not reach one who listens there, but tells.
fn is_left_behind(path: &Path) -> bool {
    let call = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    call.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_socket_that_nobody_uses_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["file", "dead stream", "dead datagrams", "stream", "datagrams", "none"];
        let [file, dead_stream, dead_datagrams, stream, datagrams, none] = paths.map(|name| folder.path().join(name));
        std::fs::write(&file, "precious").unwrap();
        drop((UnixListener::bind(&dead_stream).unwrap(), UnixDatagram::bind(&dead_datagrams).unwrap()));
        let _used = (UnixListener::bind(&stream).unwrap(), UnixDatagram::bind(&datagrams).unwrap());
        for (path, stays) in [
            (file, true),
            (dead_stream, false),
            (dead_datagrams, false),
            (stream, true),
            (datagrams, true),
            (none, false),
        ] {
            clear_away(&path).unwrap();
            assert_eq!(path.exists(), stays, "{}", path.display());
        }
    }
}
