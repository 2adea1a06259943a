//! State as a file holds it: all but the contents of RAM and disks as bytes, which whoever reads the file does not trust.

use super::Machine;
use super::snapshot::Parts;
use crate::backend::DiskId;
use crate::disk::DiskState;
use crate::state::{self, StateError};

impl Machine {
    /// All state but the contents of RAM and disks, as bytes of this build.
    pub fn encode_parts(&self) -> Vec<u8> {
        state::encode(&self.save_parts())
    }

    /// Takes over what [`encode_parts`](Self::encode_parts) gave, and what was written to each disk. RAM stays: the caller
    /// puts into it what it held then. On an error the machine is as it was.
    ///
    /// Nothing is known of where the bytes come from. What is taken over is a state of this machine, even if it is none
    /// that it can come to.
    pub fn load_parts(&mut self, bytes: &[u8], disks: &[DiskState]) -> Result<(), StateError> {
        let parts: Parts = state::decode("the machine", bytes)?;
        self.check_parts(&parts)?;
        self.check_disks(disks)?;
        let before = self.save_parts();
        self.take_parts(&parts)?;
        // What says the same in other bytes was made by hand.
        if self.encode_parts() != bytes {
            self.take_parts(&before).expect("what was saved a moment ago loads");
            let reason = "it is not as this build writes it".to_owned();
            return Err(StateError::Malformed { part: "the machine".to_owned(), reason });
        }
        for (index, disk) in (0..).zip(disks) {
            self.board.disk_mut(DiskId(index)).load(disk);
        }
        self.engine.flush();
        Ok(())
    }
}
