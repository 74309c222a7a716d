#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    counterfoil_proof::fuzzing::tlog_proof(bytes);
});
