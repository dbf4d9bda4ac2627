#![no_main]

use voyandz::access::HookForm;

libfuzzer_sys::fuzz_target!(|answer: (u16, &[u8])| {
    for form in HookForm::ALL {
        let _ = form.answer(answer.0, answer.1);
    }
});
