//! What is in front of each frame in a buffer, and what it asks for.
//!
//! Document: VIRTIO 1.2, 5.1.6 Device Operation, 5.1.6.2 Packet Transmission.

/// Bytes of `struct virtio_net_hdr`.
pub(super) const HEADER: usize = 12;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM.
const NEEDS_CSUM: u8 = 1;
/// VIRTIO_NET_HDR_GSO_NONE.
const GSO_NONE: u8 = 0;
/// Where num_buffers is.
const NUM_BUFFERS: usize = 10;

/// The header of a frame that is received into `buffers` buffers.
pub(super) fn received(buffers: u16) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[NUM_BUFFERS..].copy_from_slice(&buffers.to_le_bytes());
    header
}

/// Does to `frame` what its header asks for; `checksums` is whether the driver may ask for them.
pub(super) fn complete(header: &[u8; HEADER], frame: &mut [u8], checksums: bool) -> Result<(), &'static str> {
    let &[flags, gso_type, _, _, _, _, start_low, start_high, offset_low, offset_high, _, _] = header;
    if gso_type != GSO_NONE {
        return Err("a frame to be cut into segments, which was not offered");
    }
    if flags & NEEDS_CSUM == 0 {
        return Ok(());
    }
    if !checksums {
        return Err("a frame without its checksum, which was not agreed on");
    }
    let start = usize::from(u16::from_le_bytes([start_low, start_high]));
    let offset = usize::from(u16::from_le_bytes([offset_low, offset_high]));
    let covered = frame.get_mut(start..).ok_or("a checksum that begins behind the frame")?;
    let sum = checksum(covered);
    let place = covered.get_mut(offset..offset + 2).ok_or("a checksum that lies behind the frame")?;
    place.copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// The Internet checksum (RFC 1071, Computing the Internet Checksum) of `bytes`, in which that of the pseudo header stands
/// already. Never 0, which UDP has for none; in ones' complement its other form is the same.
fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let odd = odd.first().map_or(0, |&byte| u64::from(byte) << 8);
    let mut sum = pairs.iter().fold(odd, |sum, &pair| sum + u64::from(u16::from_be_bytes(pair)));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, gso_type: u8, start: u16, offset: u16) -> [u8; HEADER] {
        let [[a, b], [c, d]] = [start, offset].map(u16::to_le_bytes);
        [flags, gso_type, 0, 0, 0, 0, a, b, c, d, 0, 0]
    }

    #[test]
    fn the_checksum_of_the_standard() {
        // RFC 1071, 3. Numerical Examples.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0x12]), !0x1200);
        assert_eq!(checksum(&[0xff, 0xff]), 0xffff);
        assert_eq!(checksum(&vec![0xff; 65_549]), !0xff00);
    }

    #[test]
    fn a_checksum_is_put_where_the_driver_says() {
        let mut frame = vec![0xaa; 20];
        frame[14..].copy_from_slice(&[0, 1, 0xf2, 3, 0, 7]);
        complete(&header(NEEDS_CSUM, GSO_NONE, 14, 4), &mut frame, true).unwrap();
        let sum = !(1 + 0xf203 + 7u16);
        assert_eq!(frame[14..], [0, 1, 0xf2, 3, (sum >> 8) as u8, sum as u8]);
        assert_eq!(frame[..14], [0xaa; 14]);
    }

    #[test]
    fn headers_that_make_no_sense_lose_the_frame() {
        let mut frame = vec![0; 20];
        for bad in [
            header(0, 1, 0, 0),
            header(1, 0, 21, 0),
            header(1, 0, 14, 5),
            header(1, 0, 20, 0),
            header(1, 0, 0, u16::MAX),
        ] {
            complete(&bad, &mut frame, true).unwrap_err();
        }
        complete(&header(1, 0, 14, 4), &mut frame, false).unwrap_err();
        complete(&header(1, 0, 14, 4), &mut frame, true).unwrap();
        complete(&header(0, 0, 999, 999), &mut frame, false).unwrap();
    }
}
