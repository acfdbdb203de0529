//! Faults of quality on real photos.
