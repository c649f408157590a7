//! x
use geofence_user::kernel::*;
use geofence_user::policy::Lookup;
fn main() {
    for lookup in [Lookup::ArrayTrie, Lookup::LpmTrie] {
        let t = std::time::Instant::now();
        match Filter::load(Options {
            lookup,
            image_lines: 200_000,
            trie_entries: 1000,
            interfaces: 1,
            traced: true,
        }) {
            Ok(mut f) => {
                eprintln!("{:?} {:?}", f.verified_instructions(), t.elapsed());
                eprintln!("{:?}", f.ask(&[0u8; 60]));
            }
            Err(e) => {
                let mut s = format!("{e}");
                let mut e: &dyn std::error::Error = &e;
                while let Some(n) = e.source() {
                    s += &format!("\n: {n}");
                    e = n;
                }
                eprintln!("{}", &s[..s.len().min(30)]);
                eprintln!("{}", &s[s.len().saturating_sub(9000)..]);
            }
        }
    }
}
