#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    counterfoil_audit::fuzzing::bundle_after_document(bytes);
});
