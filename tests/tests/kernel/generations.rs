//! Which image the kernel goes by, as it is read back from the kernel.

use geofence_tests::require_root;

use super::{filter, prepared};

#[test]
fn generation_is_what_the_kernel_holds_and_another_image_is_an_error() {
    require_root!();
    let prepared = prepared(|_| {});
    let mut filter = filter(&prepared);
    let image = |generation, slot| prepared.image.clone().restamped(generation, slot);
    let next = image(7, filter.next_slot());
    filter.install(&next, None).expect("installs");
    assert_eq!(filter.generation().expect("reads"), 7);
    // A trial that has ended: the kernel goes by the image before, whatever this process wrote last.
    let tried = image(8, filter.next_slot());
    filter.try_out(&tried, None, 1).expect("installs");
    assert_eq!(filter.generation().expect("reads"), 7);
    filter.go_back(7).expect("goes back");
    assert_eq!(filter.generation().expect("reads"), 7);
    // Going back once more leads to the image on trial, which is not the one that is wanted.
    let error = filter.go_back(7).expect_err("another image").to_string();
    assert!(
        error.contains("image 7 was written, and the kernel goes by image 8"),
        "{error}"
    );
}
