//! Unsigned LEB128 in its shortest form.

use crate::error::FormatError;
use counterfoil_proof::Reader;

pub(crate) fn write(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn read(input: &mut Reader<'_>) -> Result<u64, FormatError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = input.u8()?;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && byte > 1 {
            return Err(FormatError::NotCanonical { rule: "a varint fits 64 bits" });
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && shift > 0 {
                return Err(FormatError::NotCanonical { rule: "a varint has its shortest form" });
            }
            return Ok(value);
        }
    }
    Err(FormatError::NotCanonical { rule: "a varint fits 64 bits" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_reads_back(value: u64) {
            let mut out = Vec::new();
            write(&mut out, value);
            let mut input = Reader::new(&out);
            prop_assert_eq!(read(&mut input), Ok(value));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn long_forms_are_refused() {
        assert!(read(&mut Reader::new(&[0x80, 0x00])).is_err());
        assert!(read(&mut Reader::new(&[0xff; 11])).is_err());
        assert!(read(&mut Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02])).is_err());
        assert!(read(&mut Reader::new(&[])).is_err());
    }
}
